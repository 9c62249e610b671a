// A persistent pool of threads that share out the panels of one job at a time.
//
//     neuroplast::pool_threads = 2;                                    // before the first parallel()
//     neuroplast::parallel(panels, [&](int64_t p) { work on panel p; });
//
// What a panel computes must depend neither on the thread that runs it nor on the order of the panels: then the
// bytes of the result don't.
#ifndef NEUROPLAST_POOL_H
#define NEUROPLAST_POOL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

// Threads that work on a job, the caller included. 1: no thread is ever made and everything runs inline.
int pool_threads = 1;

// True in a thread that is running a panel of a shared job: a parallel() in there runs inline.
thread_local bool inside_panel = false;

inline void spin_pause()
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

// From now on numbers too small for the normal format are zero, in this thread and in those that it starts: products
// with them take a hundred times as long, and what fades (the momentum of a weight that no longer learns) ends there.
inline void flush_denormals()
{
#if defined(__SSE__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(control));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(control | (uint64_t(1) << 24)));
#endif
}

class Pool {
public:
    explicit Pool(int threads)
    {
        for (int i = 1; i < threads; i++) workers_.emplace_back([this] { work(); });
    }

    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    ~Pool()
    {
        stop_.store(true);
        publish(0);
        for (std::thread& worker : workers_) {
            // exit() called within a panel gets here on a worker, which cannot wait for itself.
            if (worker.get_id() == std::this_thread::get_id()) worker.detach();
            else worker.join();
        }
    }

    void run(int64_t panels, void (*call)(const void*, int64_t), const void* context)
    {
        panels_.store(panels, std::memory_order_relaxed);
        call_.store(call, std::memory_order_relaxed);
        context_.store(context, std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        publish(static_cast<uint64_t>(panels));
        inside_panel = true;
        take_panels(ticket_.load() >> 32);
        inside_panel = false;
        // Only panels are waited for, not workers: one that sleeps or is not scheduled holds nobody up.
        for (int spins = 0; done_.load(std::memory_order_acquire) < panels; spins++) {
            if (spins < kSpins) spin_pause();
            else std::this_thread::yield();
        }
    }

private:
    // 20 to 100 us, as long as the processor's pause takes.
    static const int kSpins = 2000;

    // Starts the next job. The ticket: the job's number in the upper half, the panels not yet taken in the lower.
    void publish(uint64_t panels)
    {
        ticket_.store((((ticket_.load() >> 32) + 1) << 32) | panels);
        // Sequentially consistent on both sides: a worker going to sleep sees the ticket or is counted here.
        if (sleepers_.load() > 0) {
            { std::lock_guard<std::mutex> lock(mutex_); }
            wake_.notify_all();
        }
    }

    void work()
    {
        inside_panel = true;
        uint64_t job = 0;
        for (;;) {
            job = next_job(job);
            if (stop_.load()) return;
            take_panels(job);
        }
    }

    uint64_t next_job(uint64_t last)
    {
        for (int spins = 0; spins < kSpins; spins++) {
            const uint64_t job = ticket_.load(std::memory_order_acquire) >> 32;
            if (job != last) return job;
            spin_pause();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, [&] { return ticket_.load() >> 32 != last; });
        sleepers_.fetch_sub(1);
        return ticket_.load() >> 32;
    }

    void take_panels(uint64_t job)
    {
        int64_t taken = 0;
        uint64_t ticket = ticket_.load(std::memory_order_acquire);
        while (ticket >> 32 == job && (ticket & 0xffffffffu) > 0) {
            // Reads the job's description, then takes a panel. If the exchange succeeds, a panel was left, so that
            // the job was going on and this is its description: that is replaced when all panels are done.
            const int64_t left = static_cast<int64_t>(ticket & 0xffffffffu);
            const int64_t panel = panels_.load(std::memory_order_relaxed) - left;
            void (*const call)(const void*, int64_t) = call_.load(std::memory_order_relaxed);
            const void* const context = context_.load(std::memory_order_relaxed);
            if (ticket_.compare_exchange_weak(ticket, ticket - 1)) {
                call(context, panel);
                taken++;
                ticket = ticket_.load(std::memory_order_acquire);
            }
        }
        if (taken > 0) done_.fetch_add(taken, std::memory_order_release);
    }

    // On cache lines of their own: all threads write these two.
    alignas(64) std::atomic<uint64_t> ticket_{0};
    alignas(64) std::atomic<int64_t> done_{0};
    // The job's description.
    alignas(64) std::atomic<int64_t> panels_{0};
    std::atomic<void (*)(const void*, int64_t)> call_{nullptr};
    std::atomic<const void*> context_{nullptr};
    std::atomic<int> sleepers_{0};
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> workers_;
};

// Made by the first job that is shared out; its threads end with the program.
inline Pool& shared_pool()
{
    static Pool pool(pool_threads);
    return pool;
}

// One copy of a panel's code for any number of threads. In a loop over panels the compiler would inline it without
// making vectors of its numbers.
template <class F> __attribute__((noinline)) void call_panel(const void* f, int64_t panel)
{
    (*static_cast<const F*>(f))(panel);
}

// Calls f(p) once for each p in 0..panels-1 (fewer than 2^32), on whichever thread is free; returns when all are
// done. f must not throw. Only one thread of the program may call this from outside of a panel.
template <class F> inline void parallel(int64_t panels, const F& f)
{
    if (pool_threads <= 1 || panels <= 1 || inside_panel) {
        for (int64_t p = 0; p < panels; p++) call_panel<F>(&f, p);
        return;
    }
    shared_pool().run(panels, &call_panel<F>, &f);
}

}  // namespace
}  // namespace neuroplast

#endif
