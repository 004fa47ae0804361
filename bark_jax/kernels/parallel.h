// Splits work over XLA's own thread pool.

#ifndef BARK_JAX_KERNELS_PARALLEL_H_
#define BARK_JAX_KERNELS_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace bark_jax {

// Calls work(0) ... work(n_chunks - 1) on the calling thread and on the pool's, and returns when
// all are done. The calling thread takes chunks as well, so that nothing is ever waited for that no
// thread has begun: safe on a thread of the pool itself.
//
// Every thread has a share of the chunks, one after another, and takes what is left of the others'
// after its own: memory is read fastest in long runs (a product of one row takes 0.75 of the time
// that it takes with every chunk to whichever thread is free).
template <class Work>
void parallel_for(xla::ffi::ThreadPool& pool, int64_t n_chunks, const Work& work) {
  const int64_t n_threads = std::min<int64_t>(pool.num_threads(), n_chunks);
  if (n_threads <= 1) {
    for (int64_t chunk = 0; chunk < n_chunks; ++chunk) work(chunk);
    return;
  }
  struct alignas(64) Count {  // a cache line each
    std::atomic<int64_t> value{0};
  };
  struct Counts {
    explicit Counts(int64_t n_threads) : taken(n_threads) {}
    std::vector<Count> taken;  // of each share
    Count done;
  };
  const auto counts = std::make_shared<Counts>(n_threads);  // a late thread still finds it
  const auto run = [counts, n_chunks, n_threads, work](int64_t thread) {
    for (int64_t n = 0; n < n_threads; ++n) {
      const int64_t share = (thread + n) % n_threads;
      const int64_t first = share * n_chunks / n_threads;
      const int64_t end = (share + 1) * n_chunks / n_threads;
      for (int64_t chunk; (chunk = first + counts->taken[share].value.fetch_add(1)) < end;) {
        work(chunk);
        counts->done.value.fetch_add(1, std::memory_order_release);
      }
    }
  };
  for (int64_t thread = 1; thread < n_threads; ++thread) {
    pool.Schedule([run, thread] { run(thread); });
  }
  run(0);
  // what is left takes microseconds; yielding lets a thread that shares this core finish it
  for (int spin = 0; counts->done.value.load(std::memory_order_acquire) < n_chunks; ++spin) {
    if (spin > 1000) std::this_thread::yield();
  }
}

}  // namespace bark_jax

#endif
