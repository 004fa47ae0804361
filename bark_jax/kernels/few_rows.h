// Products y = x @ weight.T of few rows, for one instruction set: included once for each, inside a
// namespace, with WIDTH (floats of a vector) defined. No include guard, on purpose.
//
// Bound by reading the weights, which are widened to float32 in registers. The sum of one output
// is made in the same order whatever the number of rows: a row's result is the same in any batch.

typedef float Floats __attribute__((vector_size(4 * WIDTH)));

BARK_JAX_INLINE Floats widen(const float* from) {
  Floats wide;
  std::memcpy(&wide, from, sizeof wide);
  return wide;
}

BARK_JAX_INLINE Floats widen(const int8_t* from) {
#if WIDTH == 16
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from)));
#elif WIDTH == 8
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
  Floats wide;
  for (int lane = 0; lane < WIDTH; ++lane) wide[lane] = from[lane];
  return wide;
#endif
}

BARK_JAX_INLINE Floats widen(const BFloat16* from) {
#if WIDTH == 16
  const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
#elif WIDTH == 8
  const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
#else
  Floats wide;
  for (int lane = 0; lane < WIDTH; ++lane) wide[lane] = to_float(from[lane]);
  return wide;
#endif
}

BARK_JAX_INLINE float sum_of(Floats lanes) {
#if WIDTH == 16
  return _mm512_reduce_add_ps(lanes);
#else
  float sums[WIDTH];
  std::memcpy(sums, &lanes, sizeof sums);
  for (int half = WIDTH / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
#endif
}

// OUTPUTS x ROWS results at once: their sums stay in registers.
template <int OUTPUTS, int ROWS, class Weight>
BARK_JAX_INLINE void tile(const float* x, const Weight* weight, float* y, int64_t n_in,
                          int64_t n_out) {
  // The processor's own prefetcher does not follow several rows of so few bytes: weights are called
  // for two tiles ahead, into the second cache. Past the end of an array this does no harm.
  const int64_t ahead = 2 * OUTPUTS * n_in;
  Floats sums[OUTPUTS][ROWS] = {};
  int64_t i = 0;
  for (; i + WIDTH <= n_in; i += WIDTH) {
    if (sizeof(Weight) * i % 64 == 0) {  // a line of memory
      BARK_JAX_UNROLL
      for (int o = 0; o < OUTPUTS; ++o) __builtin_prefetch(weight + o * n_in + i + ahead, 0, 2);
    }
    Floats wide[OUTPUTS];
    BARK_JAX_UNROLL
    for (int o = 0; o < OUTPUTS; ++o) wide[o] = widen(weight + o * n_in + i);
    BARK_JAX_UNROLL
    for (int n = 0; n < ROWS; ++n) {
      const Floats of_x = widen(x + n * n_in + i);
      BARK_JAX_UNROLL
      for (int o = 0; o < OUTPUTS; ++o) sums[o][n] += wide[o] * of_x;
    }
  }
  BARK_JAX_UNROLL
  for (int o = 0; o < OUTPUTS; ++o) {
    BARK_JAX_UNROLL
    for (int n = 0; n < ROWS; ++n) {
      float sum = sum_of(sums[o][n]);
      for (int64_t j = i; j < n_in; ++j) sum += x[n * n_in + j] * to_float(weight[o * n_in + j]);
      y[n * n_out + o] = sum;
    }
  }
}

template <int OUTPUTS, class Weight>
BARK_JAX_INLINE void outputs(const float* x, const Weight* weight, float* y, int64_t n_rows,
                             int64_t n_in, int64_t n_out) {
  int64_t n = 0;
  for (; n + 4 <= n_rows; n += 4) {
    tile<OUTPUTS, 4>(x + n * n_in, weight, y + n * n_out, n_in, n_out);
  }
  for (; n < n_rows; ++n) tile<OUTPUTS, 1>(x + n * n_in, weight, y + n * n_out, n_in, n_out);
}

// Outputs first ... last - 1 of all rows: x is (n_rows, n_in), weight (n_out, n_in), y (n_rows, n_out).
template <class Weight>
void few_rows(const float* x, const Weight* weight, float* y, int64_t n_rows, int64_t n_in,
              int64_t n_out, int64_t first, int64_t last) {
  int64_t o = first;
  for (; o + 4 <= last; o += 4) outputs<4>(x, weight + o * n_in, y + o, n_rows, n_in, n_out);
  for (; o < last; ++o) outputs<1>(x, weight + o * n_in, y + o, n_rows, n_in, n_out);
}
