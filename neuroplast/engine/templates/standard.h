// Standard headers before everything else: their guards keep them out of the namespaces of operations.
#include <algorithm>
#include <atomic>
#include <climits>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <fstream>
#include <functional>
#include <iostream>
#include <list>
#include <map>
#include <mutex>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <math.h>
#include <new>
#ifdef __linux__
#include <sys/mman.h>
#endif

// Small arrays begin on cache lines. Large ones stand one behind the other in huge pages: in ordinary ones, whose places
// in memory are a matter of luck, matrices that would fit the cache evict each other in one run and not in the next.
namespace np_memory {
const std::size_t large = std::size_t(1) << 17, page = std::size_t(1) << 21, region = std::size_t(1) << 26;
static std::vector<std::pair<char*, char*>>* regions = nullptr;
static char *next = nullptr, *end = nullptr;
static thread_local bool growing = false;
static std::mutex lock;

static void* aligned(std::size_t alignment, std::size_t n)
{
    void* p = nullptr;
    if (posix_memalign(&p, alignment, n ? n : 1)) std::abort();
    return p;
}

static void* allocate(std::size_t n)
{
    if (n < large || growing) return aligned(64, n);
    const std::lock_guard<std::mutex> guard(lock);
    const std::size_t size = (n + 63) / 64 * 64 + 33 * 64;  // arrays of the same size should not share cache sets
    if (next == nullptr || next + size > end) {
        const std::size_t total = (std::max(size, region) + page - 1) / page * page;
        next = static_cast<char*>(aligned(page, total));
        end = next + total;
#ifdef __linux__
        madvise(next, total, MADV_HUGEPAGE);
#endif
        growing = true;  // the list of regions must not allocate from a region
        if (regions == nullptr) regions = new std::vector<std::pair<char*, char*>>;
        regions->push_back(std::make_pair(next, end));
        growing = false;
    }
    char* const p = next;
    next += size;
    return p;
}

static void release(void* p)
{
    if (regions != nullptr)
        for (const auto& r : *regions)
            if (p >= r.first && p < r.second) return;  // regions live as long as the program
    std::free(p);
}
}  // namespace np_memory
void* operator new(std::size_t n) { return np_memory::allocate(n); }
void* operator new[](std::size_t n) { return np_memory::allocate(n); }
void operator delete(void* p) noexcept { np_memory::release(p); }
void operator delete[](void* p) noexcept { np_memory::release(p); }
void operator delete(void* p, std::size_t) noexcept { np_memory::release(p); }
void operator delete[](void* p, std::size_t) noexcept { np_memory::release(p); }
