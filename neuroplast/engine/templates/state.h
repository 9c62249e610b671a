// Arguments, loading and saving of arrays, and the watch for numbers that are not finite.
#ifndef NEUROPLAST_STATE_H
#define NEUROPLAST_STATE_H

#ifdef __linux__
#include <signal.h>
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

// Functions that run once: not worth the time that it takes to optimise them. Nothing that runs in the loops may be
// called from them alone: GCC would take it for as rare.
#ifdef __GNUC__
#define NP_ONCE __attribute__((cold, noinline))
#else
#define NP_ONCE
#endif

namespace neuroplast {

struct Array {
    const char* name;  // object.variable
    char* data;
    size_t bytes;
    char kind;     // 'f' float32, 'd' float64, 'i' anything else
    bool saved;    // written at the end: state that changes
    bool watched;  // must stay finite
};

static std::string state_dir, constants_dir, out_dir;
static int64_t from = 0, until = 0, position = 0;
static int64_t watch_mask = 1023;  // look for NaN every watch_mask + 1 steps
static int64_t watch_after = INT64_MAX;  // and after each step beyond this one
static int exit_status = 0;

[[noreturn]] NP_ONCE static void fail(const std::string& message) {
    std::fprintf(stderr, "neuroplast: %s\n", message.c_str());
    std::fflush(stderr);
    std::_Exit(2);
}

[[noreturn]] NP_ONCE static void cannot_write(const std::string& path) {
    const int reason = errno;
    const bool full = reason == ENOSPC || reason == EDQUOT;
    fail("cannot write " + path + ": " + std::strerror(reason) + "." +
         (full ? " Free some space, or set TMPDIR to a folder on a disk that has more." : ""));
}

NP_ONCE static void load(const std::string& directory, const std::vector<Array>& arrays) {
    if (directory.empty()) return;
    for (const Array& array : arrays) {
        const std::string path = directory + "/" + array.name;
        FILE* file = std::fopen(path.c_str(), "rb");
        if (!file) continue;
        const size_t got = std::fread(array.data, 1, array.bytes, file);
        const bool longer = std::fgetc(file) != EOF;
        std::fclose(file);
        if (got != array.bytes || longer)
            fail(path + " should hold " + std::to_string(array.bytes) + " bytes for " + array.name);
    }
}

NP_ONCE static void save(const std::string& name, const void* data, size_t bytes) {
    const std::string path = out_dir + "/" + name;
    FILE* file = std::fopen(path.c_str(), "wb");
    if (!file || std::fwrite(data, 1, bytes, file) != bytes || std::fclose(file)) cannot_write(path);
}

// Bits, not isnan(): the answer must not depend on the compiler's floating-point flags.
template <typename T, typename U>
static int64_t first_not_finite(const char* data, size_t bytes, U exponent) {
    const U* words = reinterpret_cast<const U*>(data);
    const size_t n = bytes / sizeof(T);
    U any = 0;
    for (size_t i = 0; i < n; i++) any |= (words[i] & exponent) == exponent;
    if (!any) return -1;
    for (size_t i = 0; i < n; i++)
        if ((words[i] & exponent) == exponent) return (int64_t)i;
    return -1;
}

static int64_t not_finite(const Array& array) {
    return array.kind == 'd' ? first_not_finite<double, uint64_t>(array.data, array.bytes, 0x7ff0000000000000ull)
                             : first_not_finite<float, uint32_t>(array.data, array.bytes, 0x7f800000u);
}

// The process must not outlive the one that started it: it would go on writing into a run that is being resumed.
static void die_with_parent() {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
}

}  // namespace neuroplast

#endif
