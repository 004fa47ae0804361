// The kernels for every instruction set, and the choice between them when the program runs.

#ifndef BARK_JAX_KERNELS_DISPATCH_H_
#define BARK_JAX_KERNELS_DISPATCH_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define BARK_JAX_INLINE inline __attribute__((always_inline))

#define BARK_JAX_UNROLL _Pragma("GCC unroll 8")  // or sums are kept in memory

#ifdef __clang__
#define BARK_JAX_PRAGMA(text) _Pragma(#text)
#define BARK_JAX_BEGIN(isa) \
  BARK_JAX_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define BARK_JAX_END _Pragma("clang attribute pop")
#else
#define BARK_JAX_PRAGMA(text) _Pragma(#text)
#define BARK_JAX_BEGIN(isa) _Pragma("GCC push_options") BARK_JAX_PRAGMA(GCC target(isa))
#define BARK_JAX_END _Pragma("GCC pop_options")
#endif

namespace bark_jax {

struct BFloat16 {
  uint16_t bits;
};

inline void from_float(float value, float* to) { *to = value; }
inline void from_float(float value, BFloat16* to) {  // to the nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const bool is_nan = value != value;
  to->bits = uint16_t(is_nan ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float to_float(float value) { return value; }
inline float to_float(int8_t value) { return value; }
inline float to_float(BFloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

#ifdef __x86_64__
BARK_JAX_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,fma")
namespace avx512 {
#define WIDTH 16
#include "few_rows.h"
#include "attend.h"
#undef WIDTH
}  // namespace avx512
BARK_JAX_END

BARK_JAX_BEGIN("avx2,fma")
namespace avx2 {
#define WIDTH 8
#include "few_rows.h"
#include "attend.h"
#undef WIDTH
}  // namespace avx2
BARK_JAX_END
#endif

namespace portable {  // the compiler's vectors: SSE2, NEON
#define WIDTH 4
#include "few_rows.h"
#include "attend.h"
#undef WIDTH
}  // namespace portable

// The kernels of the best instruction set that this machine has.
template <class Value>
struct Kernels {
  decltype(&portable::few_rows<Value>) few_rows;
  decltype(&portable::attend_head<Value>) attend_head;
  decltype(&portable::attend_sequence_head) attend_sequence_head;
};

template <class Value>
Kernels<Value> kernels() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return {avx512::few_rows<Value>, avx512::attend_head<Value>, avx512::attend_sequence_head};
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {avx2::few_rows<Value>, avx2::attend_head<Value>, avx2::attend_sequence_head};
  }
#endif
  return {portable::few_rows<Value>, portable::attend_head<Value>, portable::attend_sequence_head};
}

}  // namespace bark_jax

#endif
