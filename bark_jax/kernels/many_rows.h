// Products y = x @ weight.T of whole sequences in int8, on processors with AVX-512 VNNI.
//
// Rows of x are rounded to int8, each with a scale of its own, and kept with 128 added: the
// instruction multiplies unsigned by signed bytes. What the 128 adds to a sum is taken off again.

#ifndef BARK_JAX_KERNELS_MANY_ROWS_H_
#define BARK_JAX_KERNELS_MANY_ROWS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "dispatch.h"

namespace bark_jax {

#ifdef __x86_64__

inline bool has_many_rows() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
}

constexpr int64_t kBlock = 64;  // outputs that are made together: four vectors of int32

inline int64_t padded(int64_t n_in) { return (n_in + 3) / 4 * 4; }

BARK_JAX_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")
namespace vnni {

// One row of x to bytes of which 128 is zero; returns what one of them is worth.
inline float to_bytes(const float* x, uint8_t* bytes, int64_t n_in) {
  float most = 0;
  for (int64_t i = 0; i < n_in; ++i) most = std::max(most, std::fabs(x[i]));
  const float per_unit = most > 0 ? 127 / most : 0;
  for (int64_t i = 0; i < n_in; ++i) {
    bytes[i] = uint8_t(int32_t(std::nearbyint(x[i] * per_unit)) + 128);
  }
  for (int64_t i = n_in; i < padded(n_in); ++i) bytes[i] = 128;
  return most / 127;
}

// A block of outputs, four inputs of every output side by side, and 128 times the sum of each.
inline void pack(const int8_t* weight, int8_t* packed, int32_t* offsets, int64_t n_in,
                 int64_t n_outputs) {
  std::fill(packed, packed + padded(n_in) * kBlock, int8_t(0));
  for (int64_t o = 0; o < n_outputs; ++o) {
    int32_t sum = 0;
    const int8_t* from = weight + o * n_in;
    for (int64_t i = 0; i < n_in; ++i) {
      packed[i / 4 * 4 * kBlock + 4 * o + i % 4] = from[i];
      sum += from[i];
    }
    offsets[o] = 128 * sum;
  }
}

typedef int32_t Ints __attribute__((vector_size(64)));

BARK_JAX_INLINE __m512i four_bytes(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, sizeof four);
  return _mm512_set1_epi32(four);
}

BARK_JAX_INLINE void store(__m512i sum, const int32_t* offsets, float scale, float* y,
                           int64_t n_outputs) {
  const __mmask16 stored = __mmask16((1u << std::clamp<int64_t>(n_outputs, 0, 16)) - 1);
  const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_loadu_si512(offsets)));
  _mm512_mask_storeu_ps(y, stored, _mm512_mul_ps(exact, _mm512_set1_ps(scale)));
}

// The outputs of some rows; every SUM is a row and one of the four vectors of outputs. A pack of
// numbers and no loops, and sums that are no __m512i: otherwise GCC also writes every sum to memory,
// which takes twice as long.
template <size_t... SUM>
BARK_JAX_INLINE void block(std::index_sequence<SUM...>, const uint8_t* bytes, const float* scales,
                           const int8_t* packed, const int32_t* offsets, float* y, int64_t n_in,
                           int64_t n_out, int64_t n_outputs) {
  const int64_t stride = padded(n_in);
  Ints sums[] = {((void)SUM, Ints{})...};
  for (int64_t i = 0; i < stride; i += 4) {
    const int8_t* at = packed + i * kBlock;
    const __m512i weights[] = {_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64),
                               _mm512_loadu_si512(at + 128), _mm512_loadu_si512(at + 192)};
    ((sums[SUM] = (Ints)_mm512_dpbusd_epi32(
          (__m512i)sums[SUM], four_bytes(bytes + SUM / 4 * stride + i), weights[SUM % 4])),
     ...);
  }
  (store((__m512i)sums[SUM], offsets + 16 * (SUM % 4), scales[SUM / 4],
         y + int64_t(SUM / 4) * n_out + 16 * (SUM % 4), n_outputs - 16 * int64_t(SUM % 4)),
   ...);
}

// All rows of one block of outputs; bytes and scales are those of the rows of x.
inline void many_rows(const uint8_t* bytes, const float* scales, const int8_t* packed,
                      const int32_t* offsets, float* y, int64_t n_rows, int64_t n_in,
                      int64_t n_out, int64_t n_outputs) {
  const int64_t stride = padded(n_in);
  int64_t n = 0;
  for (; n + 6 <= n_rows; n += 6) {
    block(std::make_index_sequence<6 * 4>(), bytes + n * stride, scales + n, packed, offsets,
          y + n * n_out, n_in, n_out, n_outputs);
  }
  for (; n < n_rows; ++n) {
    block(std::make_index_sequence<4>(), bytes + n * stride, scales + n, packed, offsets,
          y + n * n_out, n_in, n_out, n_outputs);
  }
}

}  // namespace vnni
BARK_JAX_END

#else

inline bool has_many_rows() { return false; }

#endif

}  // namespace bark_jax

#endif
