// Every kernel at random shapes beside plain sums, for a build with sanitizers; see test_fuzz.py.

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "dispatch.h"
#include "many_rows.h"

using namespace bark_jax;

static std::mt19937 random_bits(0);

static int64_t size_up_to(int64_t most) { return 1 + int64_t(random_bits() % most); }
static float number() { return std::normal_distribution<float>()(random_bits); }

static std::vector<float> numbers(int64_t n) {
  std::vector<float> made(n);
  for (float& each : made) each = number();
  return made;
}

static void expect(double got, double want, double bound, const char* what) {
  if (!(std::fabs(got - want) <= bound)) {
    std::printf("%s: %g, want %g within %g\n", what, got, want, bound);
    std::exit(1);
  }
}

template <class Weight>
static std::vector<Weight> weights(int64_t n) {
  std::vector<Weight> made(n);
  for (Weight& each : made) {
    if constexpr (sizeof(Weight) == 1) each = int8_t(int(random_bits() % 255) - 127);
    else from_float(number(), &each);
  }
  return made;
}

template <class Weight, class Kernel>
static void fuzz_few_rows(Kernel few_rows) {
  const int64_t n = size_up_to(64), n_in = size_up_to(200), n_out = size_up_to(40);
  const auto x = numbers(n * n_in);
  const auto weight = weights<Weight>(n_out * n_in);
  std::vector<float> y(n * n_out, NAN);
  const int64_t cut = random_bits() % (n_out + 1);
  few_rows(x.data(), weight.data(), y.data(), n, n_in, n_out, 0, cut);
  few_rows(x.data(), weight.data(), y.data(), n, n_in, n_out, cut, n_out);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t o = 0; o < n_out; ++o) {
      double sum = 0, size = 0;
      for (int64_t i = 0; i < n_in; ++i) {
        const double term = double(x[r * n_in + i]) * to_float(weight[o * n_in + i]);
        sum += term;
        size += std::fabs(term);
      }
      expect(y[r * n_out + o], sum, 1e-6 * (1 + size), "few_rows");
    }
  }
}

template <class Value, class Kernel>
static void fuzz_attend_head(Kernel attend_head) {
  const int64_t slots = size_up_to(100), size = size_up_to(90), seen = random_bits() % slots;
  const auto q = numbers(size);
  const auto keys = weights<Value>(slots * size), values = weights<Value>(slots * size);
  std::vector<uint8_t> visible(slots);
  for (auto& each : visible) each = random_bits() % 2;
  visible[seen] = 1;
  std::vector<float> room(slots + 16), mixed(size);
  attend_head(q.data(), keys.data(), values.data(), (const bool*)visible.data(), room.data(),
              mixed.data(), slots, size);
  std::vector<double> weight(slots);
  double top = -INFINITY, total = 0;
  for (int64_t m = 0; m < slots; ++m) {
    for (int64_t i = 0; i < size; ++i) weight[m] += double(q[i]) * to_float(keys[m * size + i]);
    weight[m] /= std::sqrt(double(size));
    if (visible[m]) top = std::max(top, weight[m]);
  }
  for (int64_t m = 0; m < slots; ++m) {
    total += weight[m] = visible[m] ? std::exp(weight[m] - top) : 0;
  }
  for (int64_t i = 0; i < size; ++i) {
    double want = 0;
    for (int64_t m = 0; m < slots; ++m) want += weight[m] / total * to_float(values[m * size + i]);
    expect(mixed[i], want, 2e-5, "attend_head");
  }
}

template <class Kernel>
static void fuzz_attend_sequence(Kernel attend_sequence_head) {
  const int64_t T = size_up_to(80), size = size_up_to(90), heads = size_up_to(3);
  const int64_t stride = heads * size;
  const bool is_causal = random_bits() % 2;
  const auto q = numbers(T * stride), k = numbers(T * stride), v = numbers(T * stride);
  std::vector<float> out(T * stride, NAN), room;
  for (int64_t h = 0; h < heads; ++h) {
    attend_sequence_head(q.data() + h * size, k.data() + h * size, v.data() + h * size,
                         out.data() + h * size, T, size, stride, is_causal, room);
    for (int64_t t = 0; t < T; ++t) {
      const int64_t last = is_causal ? t + 1 : T;
      std::vector<double> weight(last);
      double top = -INFINITY, total = 0;
      for (int64_t m = 0; m < last; ++m) {
        for (int64_t i = 0; i < size; ++i) {
          weight[m] += double(q[t * stride + h * size + i]) * k[m * stride + h * size + i];
        }
        top = std::max(top, weight[m] /= std::sqrt(double(size)));
      }
      for (double& each : weight) total += each = std::exp(each - top);
      for (int64_t i = 0; i < size; ++i) {
        double want = 0;
        for (int64_t m = 0; m < last; ++m) want += weight[m] / total * v[m * stride + h * size + i];
        expect(out[t * stride + h * size + i], want, 2e-5, "attend_sequence_head");
      }
    }
  }
}

#ifdef __x86_64__
static void fuzz_many_rows() {
  const int64_t n = size_up_to(30), n_in = size_up_to(200), n_out = size_up_to(kBlock);
  const auto x = numbers(n * n_in);
  const auto weight = weights<int8_t>(n_out * n_in);
  std::vector<uint8_t> bytes(n * padded(n_in));
  std::vector<float> scales(n), y(n * n_out, NAN);
  std::vector<int8_t> packed(padded(n_in) * kBlock);
  int32_t offsets[kBlock] = {};
  for (int64_t r = 0; r < n; ++r) {
    scales[r] = vnni::to_bytes(x.data() + r * n_in, bytes.data() + r * padded(n_in), n_in);
  }
  vnni::pack(weight.data(), packed.data(), offsets, n_in, n_out);
  vnni::many_rows(bytes.data(), scales.data(), packed.data(), offsets, y.data(), n, n_in, n_out,
                  n_out);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t o = 0; o < n_out; ++o) {
      int64_t sum = 0;
      for (int64_t i = 0; i < n_in; ++i) {
        sum += (int64_t(bytes[r * padded(n_in) + i]) - 128) * weight[o * n_in + i];
      }
      expect(y[r * n_out + o], double(sum) * scales[r], 1e-6 * std::fabs(sum * scales[r]), "many_rows");
    }
  }
}
#endif

template <class Value, class Few, class Head>
static void fuzz(Few few_rows, Head attend_head) {
  fuzz_few_rows<Value>(few_rows);
  fuzz_attend_head<Value>(attend_head);
}

int main(int, char** argv) {
  for (int round = std::atoi(argv[1]); round > 0; --round) {
    fuzz<float>(portable::few_rows<float>, portable::attend_head<float>);
    fuzz<BFloat16>(portable::few_rows<BFloat16>, portable::attend_head<BFloat16>);
    fuzz_few_rows<int8_t>(portable::few_rows<int8_t>);
    fuzz_attend_sequence(portable::attend_sequence_head);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      fuzz<float>(avx2::few_rows<float>, avx2::attend_head<float>);
      fuzz<BFloat16>(avx2::few_rows<BFloat16>, avx2::attend_head<BFloat16>);
      fuzz_few_rows<int8_t>(avx2::few_rows<int8_t>);
      fuzz_attend_sequence(avx2::attend_sequence_head);
    }
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      fuzz<float>(avx512::few_rows<float>, avx512::attend_head<float>);
      fuzz<BFloat16>(avx512::few_rows<BFloat16>, avx512::attend_head<BFloat16>);
      fuzz_few_rows<int8_t>(avx512::few_rows<int8_t>);
      fuzz_attend_sequence(avx512::attend_sequence_head);
    }
    if (has_many_rows()) fuzz_many_rows();
#endif
  }
  std::puts("all equal");
}
