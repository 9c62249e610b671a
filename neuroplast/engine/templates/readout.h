// Reductions over the features of each copy; matrices are (features x copies), row-major, so that the inner loops run
// over copies.
#ifndef NEUROPLAST_READOUT_H
#define NEUROPLAST_READOUT_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace neuroplast {

// p = exp(z)/sum of exp(z); p may be z.
template <typename T>
static void softmax(const T* z, T* p, int64_t features, int64_t copies) {
    std::vector<T> greatest(z, z + copies), total(copies, 0);
    for (int64_t f = 1; f < features; f++)
        for (int64_t c = 0; c < copies; c++) greatest[c] = std::max(greatest[c], z[f * copies + c]);
    for (int64_t f = 0; f < features; f++)
        for (int64_t c = 0; c < copies; c++) {
            const T value = std::exp(z[f * copies + c] - greatest[c]);
            p[f * copies + c] = value;
            total[c] += value;
        }
    for (int64_t f = 0; f < features; f++)
        for (int64_t c = 0; c < copies; c++) p[f * copies + c] /= total[c];
}

// Index of the greatest feature of each copy, the first of equal ones.
template <typename T>
static std::vector<int> argmax(const T* y, int64_t features, int64_t copies) {
    std::vector<T> greatest(y, y + copies);
    std::vector<int> index(copies, 0);
    for (int64_t f = 1; f < features; f++)
        for (int64_t c = 0; c < copies; c++)
            if (y[f * copies + c] > greatest[c]) greatest[c] = y[f * copies + c], index[c] = f;
    return index;
}

// Number of copies, among the first `valid`, that have their greatest features at the same place.
template <typename T>
static int64_t agreements(const T* y, const T* t, int64_t features, int64_t copies, int64_t valid) {
    const std::vector<int> made = argmax(y, features, copies), wanted = argmax(t, features, copies);
    int64_t number = 0;
    for (int64_t c = 0; c < valid; c++) number += made[c] == wanted[c];
    return number;
}

// Sum over the first `valid` copies of -t*log(p).
template <typename T>
static double cross_entropy(const T* p, const T* t, int64_t features, int64_t copies, int64_t valid) {
    double total = 0;
    for (int64_t f = 0; f < features; f++)
        for (int64_t c = 0; c < valid; c++)
            total -= t[f * copies + c] * std::log(std::max(p[f * copies + c], std::numeric_limits<T>::min()));
    return total;
}

}  // namespace neuroplast

#endif
