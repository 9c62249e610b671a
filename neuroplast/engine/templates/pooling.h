// Maximum pooling. Maps are (channels x rows x columns x copies), so that the inner loops run over copies.
#ifndef NEUROPLAST_POOLING_H
#define NEUROPLAST_POOLING_H

#include <algorithm>
#include <cstdint>

#include "pool.h"

namespace neuroplast {

// Maps, a window, the steps from one to the next, and how many of them there are.
struct Windows {
    int64_t channels, rows, columns, high, wide, down, across, out_rows, out_columns, copies;
    int64_t pixels() const { return rows * columns; }
    int64_t outputs() const { return out_rows * out_columns; }
};

// f(neuron of the target, neuron of the source, whether it is the window's first) for each place of each window of a
// channel.
template <typename F>
static inline void each_place(const Windows& w, int64_t channel, const F& f) {
    for (int64_t r = 0; r < w.out_rows; r++)
        for (int64_t c = 0; c < w.out_columns; c++)
            for (int64_t i = 0; i < w.high; i++)
                for (int64_t j = 0; j < w.wide; j++)
                    f(channel * w.outputs() + r * w.out_columns + c,
                      channel * w.pixels() + (r * w.down + i) * w.columns + c * w.across + j, i + j == 0);
}

// The greatest of each window, and the neuron that it is: the first of equal ones.
template <typename T>
static void pool_greatest(const Windows& w, const T* z, T* out, int32_t* winner) {
    const int64_t copies = w.copies;
    parallel(w.channels, [&](int64_t channel) {
        each_place(w, channel, [&](int64_t to, int64_t from, bool first) {
            const T* const seen = z + from * copies;
            T* const best = out + to * copies;
            int32_t* const who = winner + to * copies;
#pragma GCC ivdep
            for (int64_t b = 0; b < copies; b++) {
                const bool wins = first || seen[b] > best[b];
                best[b] = wins ? seen[b] : best[b];
                who[b] = wins ? (int32_t)from : who[b];
            }
        });
    });
}

// What the winners have.
template <typename T>
static void pool_of_winners(const Windows& w, const T* z, T* out, const int32_t* winner) {
    const int64_t copies = w.copies;
    parallel(w.channels, [&](int64_t channel) {
        each_place(w, channel, [&](int64_t to, int64_t from, bool) {
            const T* const seen = z + from * copies;
            T* const taken = out + to * copies;
            const int32_t* const who = winner + to * copies;
#pragma GCC ivdep
            for (int64_t b = 0; b < copies; b++) taken[b] = who[b] == from ? seen[b] : taken[b];
        });
    });
}

// To the winners; others get zero.
template <typename T>
static void pool_back(const Windows& w, const T* z, T* out, const int32_t* winner) {
    const int64_t copies = w.copies;
    parallel(w.channels, [&](int64_t channel) {
        std::fill(out + channel * w.pixels() * copies, out + (channel + 1) * w.pixels() * copies, T(0));
        each_place(w, channel, [&](int64_t from, int64_t to, bool) {
            const T* const sent = z + from * copies;
            T* const got = out + to * copies;
            const int32_t* const who = winner + from * copies;
#pragma GCC ivdep
            for (int64_t b = 0; b < copies; b++) got[b] += who[b] == to ? sent[b] : T(0);
        });
    });
}

}  // namespace neuroplast

#endif
