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
#ifdef NEUROPLAST_BLAS_PREFIX
#include "conv.h"
#include "product.h"
#endif

namespace neuroplast {

// Direction of sweeps over matrices that do not fit the cache; changes with every step of a phase.
static bool downward = false;

inline float whole_power(float base, int exponent) { return __builtin_powif(base, exponent); }
inline double whole_power(double base, int exponent) { return __builtin_powi(base, exponent); }

// Powers in single precision, unless base or exponent is a double; whole exponents become products.
template <typename B, typename E>
inline typename std::common_type<B, E, float>::type power(const B base, const E exponent) {
    typedef typename std::common_type<B, E, float>::type T;
    return std::is_integral<E>::value ? whole_power((T)base, (int)exponent) : std::pow((T)base, (T)exponent);
}

template <typename T>
inline T modulo_of(const T x, const T y, std::true_type) {
    const T rest = x % y;
    return rest + (rest != 0 && (rest ^ y) < 0 ? y : 0);
}
template <typename T>
inline T modulo_of(const T x, const T y, std::false_type) {
    return x - y * std::floor(x / y);
}

// x % y and x // y as in Python: the rest has the sign of y.
template <typename X, typename Y>
inline typename std::common_type<X, Y>::type modulo(const X x, const Y y) {
    typedef typename std::common_type<X, Y>::type T;
    return modulo_of((T)x, (T)y, std::is_integral<T>());
}
template <typename X, typename Y>
inline typename std::common_type<X, Y>::type quotient(const X x, const Y y) {
    typedef typename std::common_type<X, Y>::type T;
    return std::is_integral<T>::value ? ((T)x - modulo(x, y)) / (T)y : std::floor((T)x / (T)y);
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
