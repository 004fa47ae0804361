// Attention of one new position to a cache, for one instruction set; see few_rows.h, whose vectors
// and conversions it uses.

// exp(x) of x <= 0 to 2e-7 of its value; 0 far below the smallest float. By Cephes' split
// x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial in r.
BARK_JAX_INLINE float exp_of(float x) {
  if (!(x > -87.0f)) return 0;
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  const uint32_t bits = uint32_t(int32_t(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
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
// `slots` numbers. Slots that are not visible are neither read nor counted.
template <class Cached>
void attend_head(const float* q, const Cached* keys, const Cached* values, const bool* visible,
                 float* weights, float* mixed, int64_t slots, int64_t size) {
  const float scale = 1 / std::sqrt(float(size));
  float top = -INFINITY, total = 0;
  for (int64_t m = 0; m < slots; ++m) {
    if (visible[m]) top = std::max(top, weights[m] = dot(q, keys + m * size, size) * scale);
  }
  for (int64_t m = 0; m < slots; ++m) {
    total += weights[m] = visible[m] ? exp_of(weights[m] - top) : 0;
  }
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
