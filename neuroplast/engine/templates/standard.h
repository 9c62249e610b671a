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
// Arrays begin on cache lines, whoever allocates them.
static void* np_aligned(std::size_t n)
{
    void* p = nullptr;
    if (posix_memalign(&p, 64, n ? n : 1)) std::abort();
    return p;
}
void* operator new(std::size_t n) { return np_aligned(n); }
void* operator new[](std::size_t n) { return np_aligned(n); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
