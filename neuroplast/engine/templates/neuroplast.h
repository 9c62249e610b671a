// Everything that generated code may call; included in every translation unit.
#ifndef NEUROPLAST_H
#define NEUROPLAST_H

#include <math.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "pool.h"
#include "random.h"
#ifdef NEUROPLAST_BLAS
#include "gemm.h"
#endif

namespace neuroplast {

// Direction of sweeps over matrices that do not fit the cache; changes with every step of a phase.
static bool downward = false;

// Powers in the type of the base; whole exponents become products.
inline float power(float base, int exponent) { return __builtin_powif(base, exponent); }
inline float power(float base, float exponent) { return powf(base, exponent); }
inline double power(double base, int exponent) { return __builtin_powi(base, exponent); }
inline double power(double base, double exponent) { return pow(base, exponent); }
inline double power(int base, int exponent) { return __builtin_powi((double)base, exponent); }

template <typename T, typename L, typename H>
inline T clip(const T value, const L low, const H high) {
    return value < (T)low ? (T)low : value > (T)high ? (T)high : value;
}

// (exp(x) - 1)/x
template <typename T>
inline T exprel(const T x) {
    return std::abs(x) < (T)1e-16 ? (T)1 : x > (T)717 ? (T)INFINITY : (T)(std::expm1(x) / x);
}

void arguments(std::vector<std::string>& args);  // takes the schedule's arguments off the command line
void run();                                      // loads the state and runs positions from..until
void finish();                                   // writes state and recordings, and ends the process

}  // namespace neuroplast

#endif
