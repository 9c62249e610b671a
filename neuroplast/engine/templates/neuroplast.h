// Everything that generated code may call; included in every translation unit.
#ifndef NEUROPLAST_H
#define NEUROPLAST_H

#include <math.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "pool.h"
#include "random.h"
#ifdef NEUROPLAST_BLAS
#include "gemm.h"
#endif

namespace neuroplast {

// Direction of sweeps over matrices that do not fit the cache; changes with every step of a phase.
static bool downward = false;

inline float whole_power(float base, int exponent) { return __builtin_powif(base, exponent); }
inline double whole_power(double base, int exponent) { return __builtin_powi(base, exponent); }

// Powers in float where base or exponent is float and neither is double; those of two integers in double.
template <typename B, typename E>
struct PowerType {
    static const bool integers = std::is_integral<B>::value && std::is_integral<E>::value;
    typedef typename std::conditional<integers, double, typename std::common_type<B, E>::type>::type type;
};

// Whole exponents become products.
template <typename B, typename E>
inline typename PowerType<B, E>::type power(const B base, const E exponent) {
    typedef typename PowerType<B, E>::type T;
    return std::is_integral<E>::value ? whole_power((T)base, (int)exponent) : std::pow((T)base, (T)exponent);
}

template <typename T, typename L, typename H>
inline typename std::common_type<T, L, H>::type clip(const T value, const L low, const H high) {
    return value < low ? low : value > high ? high : value;
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
