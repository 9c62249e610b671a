// What a (summed) variable of a batch is: a product of weights and activity, without what is zero.
#ifndef NEUROPLAST_PRODUCT_H
#define NEUROPLAST_PRODUCT_H

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gemm.h"
#include "sparse.h"

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

// Neurons onto which the next sum is wanted; all if null. The schedule sets it where the others are written anew before
// they are read.
const std::vector<Range>* only = nullptr;

// Products of less work than this are made as they are.
const int64_t least_work = int64_t(1) << 20;
// Neurons that are passed over together.
const int64_t strip = 64;

// Strips of neurons that are not all zero in all copies; of most neurons the first copy says it.
template <class T> std::vector<Range> find_filled(const T* z, int64_t neurons, int64_t copies)
{
    const int64_t together = 64;  // numbers
    std::vector<Range> found;
    for (int64_t first = 0; first < neurons; first += strip) {
        const int64_t stop = std::min(first + strip, neurons);
        bool zero = true;
        for (int64_t i = first * copies; zero && i < stop * copies; i += together)
            for (int64_t e = i; e < std::min(i + together, stop * copies); e++) zero &= z[e] == 0;
        if (zero) continue;
        if (!found.empty() && found.back().stop == first) found.back().stop = stop;
        else found.push_back({first, stop});
    }
    return found;
}

// out = op(W) z (or, with `add`, out +=): the sums onto n_out neurons, from n_in, in all copies. Weights are those of
// n_in rows, or, with `turned`, of n_out rows of length ld. A neuron that is zero in all copies adds nothing, and is
// not multiplied if its neighbours are zero too.
template <class T>
__attribute__((noinline))  // once for all operations, as gemm
inline void product(Sparse<T>& sparse, bool turned, int64_t n_out, int64_t copies, int64_t n_in, const T* W,
                    int64_t ld, const T* z, bool add, T* out)
{
    const bool large = n_out * copies * n_in >= least_work;
    const std::vector<Range> filled = large ? find_filled(z, n_in, copies) : std::vector<Range>{{0, n_in}};
    const std::vector<Range> wanted = only != nullptr ? *only : std::vector<Range>{{0, n_out}};
    if (filled.empty() && !add)
        for (const Range& to : wanted) std::fill(out + to.first * copies, out + to.stop * copies, T(0));
    if (filled.empty()) return;
    if (large && copies >= 16 && sparse.suits()) {
        sparse.multiply(filled, wanted, z, copies, add, out);
        return;
    }
    for (const Range& to : wanted)
        for (const Range& from : filled) {
            const T* const weights = turned ? W + to.first * ld + from.first : W + from.first * ld + to.first;
            const bool onto = add || from.first != filled[0].first;
            gemm(!turned, false, to.stop - to.first, copies, from.stop - from.first, T(1), weights, ld,
                 z + from.first * copies, copies, T(onto), out + to.first * copies, copies);
        }
}

}  // namespace
}  // namespace neuroplast

#endif
