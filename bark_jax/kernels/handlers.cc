// Handlers for `jax.ffi`: y = x @ weight.T, float32 x (N, I) and y (N, O), weight (O, I).

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dispatch.h"
#include "many_rows.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace bark_jax {

using Floats = ffi::Buffer<ffi::F32>;

template <class Weight>
ffi::Error check_shapes(const Floats& x, const Weight& weight) {
  const auto of_x = x.dimensions(), of_weight = weight.dimensions();
  if (of_x.size() != 2 || of_weight.size() != 2 || of_x[1] != of_weight[1]) {
    return ffi::Error::InvalidArgument("want x (N, I) and weight (O, I)");
  }
  return ffi::Error::Success();
}

template <class Weight, ffi::DataType TYPE>
ffi::Error linear_few_rows(ffi::ThreadPool pool, Floats x, ffi::Buffer<TYPE> weight,
                           ffi::Result<Floats> y) {
  if (ffi::Error error = check_shapes(x, weight); error.failure()) return error;
  const int64_t n_rows = x.dimensions()[0];
  const int64_t n_out = weight.dimensions()[0], n_in = weight.dimensions()[1];
  static const auto few_rows = kernels<Weight>().few_rows;
  // chunks of some 64 KiB: small enough to share evenly, large enough to be worth handing over
  const int64_t bytes = n_in * int64_t(sizeof(Weight));
  const int64_t size = std::max<int64_t>(4, 65536 / std::max<int64_t>(1, bytes) / 4 * 4);
  const float* from = x.typed_data();
  const auto* by = static_cast<const Weight*>(weight.untyped_data());
  float* to = y->typed_data();
  parallel_for(pool, (n_out + size - 1) / size, [=](int64_t chunk) {
    const int64_t first = chunk * size, last = std::min(n_out, first + size);
    few_rows(from, by, to, n_rows, n_in, n_out, first, last);
  });
  return ffi::Error::Success();
}

ffi::Error linear_many_rows(ffi::ThreadPool pool, Floats x, ffi::Buffer<ffi::S8> weight,
                            ffi::Result<Floats> y) {
#ifdef __x86_64__
  if (ffi::Error error = check_shapes(x, weight); error.failure()) return error;
  if (!has_many_rows()) return ffi::Error::Internal("this processor has no AVX-512 VNNI");
  const int64_t n_rows = x.dimensions()[0];
  const int64_t n_out = weight.dimensions()[0], n_in = weight.dimensions()[1];
  thread_local std::vector<uint8_t> room;
  thread_local std::vector<float> room_of_scales;
  room.resize(n_rows * padded(n_in));
  room_of_scales.resize(n_rows);
  uint8_t* const bytes = room.data();
  float* const scales = room_of_scales.data();
  const float* const from = x.typed_data();
  const int8_t* const by = weight.typed_data();
  float* const to = y->typed_data();
  constexpr int64_t kRows = 16;  // of x that are made bytes at a time
  parallel_for(pool, (n_rows + kRows - 1) / kRows, [=](int64_t chunk) {
    for (int64_t n = chunk * kRows; n < std::min(n_rows, (chunk + 1) * kRows); ++n) {
      scales[n] = vnni::to_bytes(from + n * n_in, bytes + n * padded(n_in), n_in);
    }
  });
  parallel_for(pool, (n_out + kBlock - 1) / kBlock, [=](int64_t chunk) {
    thread_local std::vector<int8_t> packed;
    packed.resize(padded(n_in) * kBlock);
    int32_t offsets[kBlock] = {};
    const int64_t first = chunk * kBlock, n_outputs = std::min(kBlock, n_out - first);
    vnni::pack(by + first * n_in, packed.data(), offsets, n_in, n_outputs);
    vnni::many_rows(bytes, scales, packed.data(), offsets, to + first, n_rows, n_in, n_out,
                    n_outputs);
  });
  return ffi::Error::Success();
#else
  return ffi::Error::Internal("this processor has no AVX-512 VNNI");
#endif
}

// Writes the new key and value (B, H, K) into `slot` of the caches (B, H, M, K), and attends to the
// visible slots (B, M) and to the new one.
template <class Cached, ffi::DataType TYPE>
ffi::Error attend(ffi::ThreadPool pool, Floats q, Floats key, Floats value, ffi::Buffer<TYPE> keys,
                  ffi::Buffer<TYPE> values, ffi::Buffer<ffi::PRED> visible,
                  ffi::Buffer<ffi::S32> slot, ffi::Result<Floats> mixed,
                  ffi::Result<ffi::Buffer<TYPE>> new_keys,
                  ffi::Result<ffi::Buffer<TYPE>> new_values) {
  const auto shape = keys.dimensions();  // B, H, M, K
  const int64_t n_heads = shape[1], slots = shape[2], size = shape[3], at = *slot.typed_data();
  if (at < 0 || at >= slots) return ffi::Error::InvalidArgument("slot is outside the cache");
  auto* const all_keys = static_cast<Cached*>(new_keys->untyped_data());
  auto* const all_values = static_cast<Cached*>(new_values->untyped_data());
  if (all_keys != keys.untyped_data() || all_values != values.untyped_data()) {
    return ffi::Error::Internal("the cache was copied, not passed on");
  }
  static const auto attend_head = kernels<Cached>().attend_head;
  const float *from_q = q.typed_data(), *from_key = key.typed_data();
  const float* from_value = value.typed_data();
  const bool* is_visible = visible.typed_data();
  float* to = mixed->typed_data();
  parallel_for(pool, shape[0] * n_heads, [=](int64_t head) {
    Cached* const own_keys = all_keys + head * slots * size;
    Cached* const own_values = all_values + head * slots * size;
    for (int64_t i = 0; i < size; ++i) {
      from_float(from_key[head * size + i], own_keys + at * size + i);
      from_float(from_value[head * size + i], own_values + at * size + i);
    }
    thread_local std::vector<float> weights;
    thread_local std::vector<uint8_t> seen;
    const bool* row = is_visible + head / n_heads * slots;
    seen.assign(row, row + slots);
    seen[at] = 1;
    weights.resize(slots + 16);
    attend_head(from_q + head * size, own_keys, own_values, (const bool*)seen.data(),
                weights.data(), to + head * size, slots, size);
  });
  return ffi::Error::Success();
}

// Attention of all positions (B, T, H, K) to all, or (causal) to those up to their own.
ffi::Error attend_sequence(ffi::ThreadPool pool, Floats q, Floats keys, Floats values,
                           ffi::Result<Floats> mixed, bool is_causal) {
  const auto shape = q.dimensions();
  if (shape.size() != 4 || keys.element_count() != q.element_count() ||
      values.element_count() != q.element_count()) {
    return ffi::Error::InvalidArgument("want q, keys and values of one shape (B, T, H, K)");
  }
  const int64_t T = shape[1], n_heads = shape[2], size = shape[3], stride = n_heads * size;
  static const auto attend_sequence_head = kernels<float>().attend_sequence_head;
  const float *from_q = q.typed_data(), *from_keys = keys.typed_data();
  const float* from_values = values.typed_data();
  float* const to = mixed->typed_data();
  parallel_for(pool, shape[0] * n_heads, [=](int64_t head) {
    thread_local std::vector<float> room;
    const int64_t at = head / n_heads * T * stride + head % n_heads * size;
    attend_sequence_head(from_q + at, from_keys + at, from_values + at, to + at, T, size, stride,
                         is_causal, room);
  });
  return ffi::Error::Success();
}

}  // namespace bark_jax

XLA_FFI_DEFINE_HANDLER_SYMBOL(bark_jax_linear_int8_sequence, bark_jax::linear_many_rows,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<bark_jax::Floats>()
                                  .Arg<ffi::Buffer<ffi::S8>>()
                                  .Ret<bark_jax::Floats>());

#define BARK_JAX_LINEAR(name, Weight, TYPE)                                      \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, (bark_jax::linear_few_rows<Weight, TYPE>), \
                                ffi::Ffi::Bind()                                 \
                                    .Ctx<ffi::ThreadPool>()                      \
                                    .Arg<bark_jax::Floats>()                     \
                                    .Arg<ffi::Buffer<TYPE>>()                    \
                                    .Ret<bark_jax::Floats>())

BARK_JAX_LINEAR(bark_jax_linear_float32, float, ffi::F32);
BARK_JAX_LINEAR(bark_jax_linear_bfloat16, bark_jax::BFloat16, ffi::BF16);
BARK_JAX_LINEAR(bark_jax_linear_int8, int8_t, ffi::S8);

XLA_FFI_DEFINE_HANDLER_SYMBOL(bark_jax_attend_sequence, bark_jax::attend_sequence,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<bark_jax::Floats>()
                                  .Arg<bark_jax::Floats>()
                                  .Arg<bark_jax::Floats>()
                                  .Ret<bark_jax::Floats>()
                                  .Attr<bool>("is_causal"));

#define BARK_JAX_ATTEND(name, Cached, TYPE)                                      \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, (bark_jax::attend<Cached, TYPE>),          \
                                ffi::Ffi::Bind()                                 \
                                    .Ctx<ffi::ThreadPool>()                      \
                                    .Arg<bark_jax::Floats>()                     \
                                    .Arg<bark_jax::Floats>()                     \
                                    .Arg<bark_jax::Floats>()                     \
                                    .Arg<ffi::Buffer<TYPE>>()                    \
                                    .Arg<ffi::Buffer<TYPE>>()                    \
                                    .Arg<ffi::Buffer<ffi::PRED>>()               \
                                    .Arg<ffi::Buffer<ffi::S32>>()                \
                                    .Ret<bark_jax::Floats>()                     \
                                    .Ret<ffi::Buffer<TYPE>>()                    \
                                    .Ret<ffi::Buffer<TYPE>>())

BARK_JAX_ATTEND(bark_jax_attend_float32, float, ffi::F32);
BARK_JAX_ATTEND(bark_jax_attend_bfloat16, bark_jax::BFloat16, ffi::BF16);

// Whether this processor has what bark_jax_linear_int8_sequence needs.
extern "C" int bark_jax_has_int8_sequences() { return bark_jax::has_many_rows(); }
