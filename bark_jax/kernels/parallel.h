// Splits work over XLA's own thread pool.

#ifndef BARK_JAX_KERNELS_PARALLEL_H_
#define BARK_JAX_KERNELS_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace bark_jax {

// Calls work(0) ... work(n_chunks - 1) on the calling thread and on the pool's, and returns when
// all are done. The calling thread takes chunks as well, so that nothing is ever waited for that no
// thread has begun: safe on a thread of the pool itself.
template <class Work>
void parallel_for(xla::ffi::ThreadPool& pool, int64_t n_chunks, const Work& work) {
  const int64_t n_threads = std::min<int64_t>(pool.num_threads(), n_chunks);
  if (n_threads <= 1) {
    for (int64_t chunk = 0; chunk < n_chunks; ++chunk) work(chunk);
    return;
  }
  struct Counts {
    std::atomic<int64_t> taken{0}, done{0};
  };
  const auto counts = std::make_shared<Counts>();  // a late thread still finds it
  const auto take = [counts, n_chunks, work] {
    for (int64_t chunk; (chunk = counts->taken.fetch_add(1)) < n_chunks;) {
      work(chunk);
      counts->done.fetch_add(1, std::memory_order_release);
    }
  };
  for (int64_t thread = 1; thread < n_threads; ++thread) {
    auto task = take;
    pool.Schedule(std::move(task));
  }
  take();
  // what is left takes microseconds; yielding lets a thread that shares this core finish it
  for (int spin = 0; counts->done.load(std::memory_order_acquire) < n_chunks; ++spin) {
    if (spin > 1000) std::this_thread::yield();
  }
}

}  // namespace bark_jax

#endif
