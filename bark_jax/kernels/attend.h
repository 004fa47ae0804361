// Attention of one new position to a cache, for one instruction set; see few_rows.h, whose vectors
// and conversions it uses.

typedef int32_t Integers __attribute__((vector_size(4 * WIDTH)));

// exp(x) of x <= 0 to 2e-7 of its value; 0 far below the smallest float. By Cephes' split
// x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial in r.
BARK_JAX_INLINE Floats exp_of(Floats x) {
  const float to_whole = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const Floats bounded = x > -87.0f ? x : Floats{} - 87.0f;
  const Floats n = (bounded * 1.44269504f + to_whole) - to_whole;
  const Floats r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Integers bits = (__builtin_convertvector(n, Integers) + 127) << 23;
  Floats power;
  std::memcpy(&power, &bits, sizeof power);
  return x > -87.0f ? p * power : Floats{};
}

// Logits (n, room for a multiple of WIDTH) to exp(scale * (logit - the greatest)), and zeros up to
// that multiple; returns their sum.
BARK_JAX_INLINE float exponentiate(float* logits, int64_t n, float scale) {
  const int64_t end = (n + WIDTH - 1) / WIDTH * WIDTH;
  for (int64_t m = n; m < end; ++m) logits[m] = -INFINITY;
  Floats tops = Floats{} - INFINITY;
  for (int64_t m = 0; m < end; m += WIDTH) {
    const Floats these = widen(logits + m);
    tops = these > tops ? these : tops;
  }
  float top = tops[0];
  for (int lane = 1; lane < WIDTH; ++lane) top = std::max(top, tops[lane]);
  Floats total{};
  for (int64_t m = 0; m < end; m += WIDTH) {
    const Floats weights = exp_of((widen(logits + m) - top) * scale);
    std::memcpy(logits + m, &weights, sizeof weights);
    total += weights;
  }
  return sum_of(total);
}

template <class Cached>
BARK_JAX_INLINE float dot(const float* q, const Cached* key, int64_t size) {
  Floats sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * WIDTH <= size; i += 4 * WIDTH) {
    for (int part = 0; part < 4; ++part) {
      sums[part] += widen(q + i + part * WIDTH) * widen(key + i + part * WIDTH);
    }
  }
  for (; i + WIDTH <= size; i += WIDTH) sums[0] += widen(q + i) * widen(key + i);
  float sum = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < size; ++i) sum += q[i] * to_float(key[i]);
  return sum;
}

// mixed (size) += the sum over slots of weight * value, VECTORS vectors at a time.
template <int VECTORS, class Cached>
BARK_JAX_INLINE void mix(const float* weights, const Cached* values, float* mixed, int64_t slots,
                         int64_t size) {
  Floats sums[VECTORS] = {};
  for (int64_t m = 0; m < slots; ++m) {
    if (weights[m] == 0) continue;
    for (int v = 0; v < VECTORS; ++v) sums[v] += weights[m] * widen(values + m * size + v * WIDTH);
  }
  std::memcpy(mixed, sums, sizeof sums);
}

// One head of one row: keys and values (slots, size), `visible` (slots); weights is room for
// `slots` numbers and a vector more. Slots that are not visible are neither read nor counted.
template <class Cached>
void attend_head(const float* q, const Cached* keys, const Cached* values, const bool* visible,
                 float* weights, float* mixed, int64_t slots, int64_t size) {
  const float scale = 1 / std::sqrt(float(size));
  for (int64_t m = 0; m < slots; ++m) {
    weights[m] = visible[m] ? dot(q, keys + m * size, size) : -INFINITY;
  }
  const float total = exponentiate(weights, slots, scale);
  for (int64_t m = 0; m < slots; ++m) weights[m] /= total;
  int64_t i = 0;
  for (; i + 4 * WIDTH <= size; i += 4 * WIDTH) mix<4>(weights, values + i, mixed + i, slots, size);
  for (; i + WIDTH <= size; i += WIDTH) mix<1>(weights, values + i, mixed + i, slots, size);
  for (; i < size; ++i) {
    mixed[i] = 0;
    for (int64_t m = 0; m < slots; ++m) {
      if (weights[m] != 0) mixed[i] += weights[m] * to_float(values[m * size + i]);
    }
  }
}

// A whole sequence: sums of ROWS x kWide results stay in registers.
constexpr int64_t kWide = 4 * WIDTH;
constexpr int kTall = WIDTH == 16 ? 6 : 2;  // as many as there are registers for

// (ROWS, kWide) = a (ROWS, n) @ b (n, kWide). See many_rows.h on the pack in place of loops.
template <size_t... SUM>
BARK_JAX_INLINE void multiply(std::index_sequence<SUM...>, const float* a, int64_t of_a,
                              const float* b, int64_t of_b, float* c, int64_t of_c, int64_t n) {
  Floats sums[] = {((void)SUM, Floats{})...};
  for (int64_t i = 0; i < n; ++i) {
    const Floats wide[] = {widen(b + i * of_b), widen(b + i * of_b + WIDTH),
                           widen(b + i * of_b + 2 * WIDTH), widen(b + i * of_b + 3 * WIDTH)};
    ((sums[SUM] += a[SUM / 4 * of_a + i] * wide[SUM % 4]), ...);
  }
  (std::memcpy(c + SUM / 4 * of_c + SUM % 4 * WIDTH, &sums[SUM], sizeof(Floats)), ...);
}

// Queries first ... first + ROWS - 1 of one head.
template <int ROWS>
BARK_JAX_INLINE void attend_queries(const float* q, const float* keys_KM, const float* values_MK,
                                    float* logits, float* mixed, float* to, int64_t stride,
                                    int64_t first, int64_t n_keys, int64_t wide_keys, int64_t size,
                                    int64_t wide_size, bool is_causal) {
  constexpr auto kSums = std::make_index_sequence<ROWS * 4>();
  const float scale = 1 / std::sqrt(float(size));
  const int64_t last = is_causal ? std::min(n_keys, first + ROWS) : n_keys;
  for (int64_t m = 0; m < last; m += kWide) {
    multiply(kSums, q + first * stride, stride, keys_KM + m, wide_keys, logits + m, wide_keys,
             size);
  }
  float totals[ROWS];
  for (int n = 0; n < ROWS; ++n) {
    float* const row = logits + n * wide_keys;
    const int64_t seen = is_causal ? first + n + 1 : n_keys;
    totals[n] = exponentiate(row, seen, scale);
    std::fill(row + seen, row + last, 0.0f);
  }
  for (int64_t i = 0; i < size; i += kWide) {
    multiply(kSums, logits, wide_keys, values_MK + i, wide_size, mixed + i, wide_size, last);
  }
  for (int n = 0; n < ROWS; ++n) {
    for (int64_t i = 0; i < size; ++i) {
      to[(first + n) * stride + i] = mixed[n * wide_size + i] / totals[n];
    }
  }
}

// One head of one row: q, keys, values and `to` are (T, size), `stride` numbers from one position
// to the next. `room` is a vector that may be kept for the next head.
inline void attend_sequence_head(const float* q, const float* keys, const float* values, float* to,
                                 int64_t T, int64_t size, int64_t stride, bool is_causal,
                                 std::vector<float>& room) {
  const int64_t wide_keys = (T + kWide - 1) / kWide * kWide + WIDTH;
  const int64_t wide_size = (size + kWide - 1) / kWide * kWide;
  room.assign(size * wide_keys + T * wide_size + kTall * (wide_keys + wide_size), 0.0f);
  float* const keys_KM = room.data();
  float* const values_MK = keys_KM + size * wide_keys;
  float* const logits = values_MK + T * wide_size;
  float* const mixed = logits + kTall * wide_keys;
  for (int64_t m = 0; m < T; ++m) {
    for (int64_t i = 0; i < size; ++i) {
      keys_KM[i * wide_keys + m] = keys[m * stride + i];
      values_MK[m * wide_size + i] = values[m * stride + i];
    }
  }
  int64_t t = 0;
  for (; t + kTall <= T; t += kTall) {
    attend_queries<kTall>(q, keys_KM, values_MK, logits, mixed, to, stride, t, T, wide_keys, size,
                          wide_size, is_causal);
  }
  for (; t < T; ++t) {
    attend_queries<1>(q, keys_KM, values_MK, logits, mixed, to, stride, t, T, wide_keys, size,
                      wide_size, is_causal);
  }
}
