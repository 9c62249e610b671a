// Counter-based random numbers: a number is a function of (seed, stream, tick, index) and of nothing else.
// No state is saved, and neither threads nor the position at which a run is resumed can change a number.
// Generator: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
// philox.py is the numpy twin.
#ifndef NEUROPLAST_RANDOM_H
#define NEUROPLAST_RANDOM_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

// Set by the schedule between nodes, never within a loop that draws.
uint64_t rng_seed = 0;
int64_t rng_tick = 0;

struct RandomWords {
    uint32_t x0, x1, x2, x3;
};

inline RandomWords philox(uint64_t seed, uint32_t stream, uint64_t tick, uint32_t index)
{
    uint32_t x0 = index, x3 = stream;
    uint32_t x1 = static_cast<uint32_t>(tick), x2 = static_cast<uint32_t>(tick >> 32);
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * x0;
        const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * x2;
        x0 = static_cast<uint32_t>(p1 >> 32) ^ x1 ^ key0;
        x1 = static_cast<uint32_t>(p1);
        x2 = static_cast<uint32_t>(p0 >> 32) ^ x3 ^ key1;
        x3 = static_cast<uint32_t>(p0);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return RandomWords{x0, x1, x2, x3};
}

// Words become floating point through signed 32-bit integers, because every instruction set has vector
// instructions for these; not every one has them for 64-bit or unsigned integers.
inline double to_double(uint32_t word) { return static_cast<double>(static_cast<int32_t>(word)); }
inline float to_float(uint32_t word) { return static_cast<float>(static_cast<int32_t>(word)); }

// 53 bits, in [0, 1); every step is exact, so that no compiler flag changes a bit.
inline double unit_from(uint32_t high, uint32_t low)
{
    return (to_double(high >> 5) * 67108864.0 + to_double(low >> 6)) * (1.0 / 9007199254740992.0);
}

// 24 bits, in [0, 1).
inline float unit_from_f(uint32_t word) { return to_float(word >> 8) * (1.0f / 16777216.0f); }

// Box-Muller. The radius takes the middles of 2^52 equal intervals: never 0, whose logarithm is infinite.
inline double normal_from(const RandomWords& w)
{
    const double high = to_double(w.x0 >> 6), low = to_double(w.x1 >> 6);
    const double u = (high * 67108864.0 + (low + 0.5)) * (1.0 / 4503599627370496.0);
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * unit_from(w.x2, w.x3));
}

// 31 bits for the radius, so that the tail ends at 6.7 and not at 5.8; the topmost round to 1, which gives 0.
inline float normal_from_f(const RandomWords& w)
{
    const float u = (to_float(w.x0 >> 1) + 0.5f) * (1.0f / 2147483648.0f);
    return std::sqrt(-2.0f * std::log(u)) * std::cos(6.2831853f * unit_from_f(w.x2));
}

inline RandomWords draw(uint32_t stream, uint32_t index)
{
    return philox(rng_seed, stream, static_cast<uint64_t>(rng_tick), index);
}

#ifdef __AVX512F__
// First two words of 32 indices from `first` on, as `draw` gives them. A word has 64 bits, of which the generator needs
// the lower half: the upper one may hold anything, and so a product stands for its own lower half.
inline void draw_32(uint32_t stream, uint32_t first, uint32_t* x0_out, uint32_t* x1_out)
{
    const int vectors = 4;  // at the same time: a product takes several cycles
    const uint64_t tick = static_cast<uint64_t>(rng_tick);
    const __m512i multiplier0 = _mm512_set1_epi64(0xD2511F53u), multiplier1 = _mm512_set1_epi64(0xCD9E8D57u);
    const __m512i places = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    __m512i x0[vectors], x1[vectors], x2[vectors], x3[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        x0[v] = _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_add_epi64(places, _mm512_set1_epi64(8 * v)));
        x1[v] = _mm512_set1_epi64(static_cast<uint32_t>(tick)), x2[v] = _mm512_set1_epi64(tick >> 32);
        x3[v] = _mm512_set1_epi64(stream);
    }
    uint32_t key0 = static_cast<uint32_t>(rng_seed), key1 = static_cast<uint32_t>(rng_seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const __m512i round_key0 = _mm512_set1_epi64(key0), round_key1 = _mm512_set1_epi64(key1);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const __m512i p0 = _mm512_mul_epu32(x0[v], multiplier0), p1 = _mm512_mul_epu32(x2[v], multiplier1);
            const __m512i high0 = _mm512_shuffle_epi32(p0, _MM_PERM_DDBB);
            const __m512i high1 = _mm512_shuffle_epi32(p1, _MM_PERM_DDBB);
            x0[v] = _mm512_xor_si512(_mm512_xor_si512(high1, x1[v]), round_key0);
            x2[v] = _mm512_xor_si512(_mm512_xor_si512(high0, x3[v]), round_key1);
            x1[v] = p1;
            x3[v] = p0;
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(x0_out + 8 * v), _mm512_cvtepi64_epi32(x0[v]));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(x1_out + 8 * v), _mm512_cvtepi64_epi32(x1[v]));
    }
}
#endif

inline double unit_of(uint32_t x0, uint32_t x1, double) { return unit_from(x0, x1); }
inline float unit_of(uint32_t x0, uint32_t, float) { return unit_from_f(x0); }

// out[i] = the uniform number of index first + i: those that uniform() and uniform_f() give.
template <class T> inline void uniforms(uint32_t stream, uint32_t first, int64_t count, T* out)
{
    int64_t done = 0;
#ifdef __AVX512F__
    for (; done + 32 <= count; done += 32) {
        uint32_t x0[32], x1[32];
        draw_32(stream, first + static_cast<uint32_t>(done), x0, x1);
        for (int i = 0; i < 32; i++) out[done + i] = unit_of(x0[i], x1[i], T());
    }
#endif
    for (; done < count; done++) {
        const RandomWords w = draw(stream, first + static_cast<uint32_t>(done));
        out[done] = unit_of(w.x0, w.x1, T());
    }
}

// Numbers with the same stream, tick and index are made of the same words: each textual call has its own stream.
inline double uniform(uint32_t stream, uint32_t index)
{
    const RandomWords w = draw(stream, index);
    return unit_from(w.x0, w.x1);
}

inline float uniform_f(uint32_t stream, uint32_t index) { return unit_from_f(draw(stream, index).x0); }

inline double normal(uint32_t stream, uint32_t index) { return normal_from(draw(stream, index)); }

inline float normal_f(uint32_t stream, uint32_t index) { return normal_from_f(draw(stream, index)); }

// Fills out with a permutation of 0..n-1 that follows from (seed, stream, epoch). Fisher-Yates; n < 2^31.
inline void permutation(uint32_t stream, int64_t epoch, int64_t n, int32_t* out)
{
    for (int64_t i = 0; i < n; i++) out[i] = static_cast<int32_t>(i);
    for (int64_t i = n - 1; i > 0; i--) {
        const uint64_t tick = static_cast<uint64_t>(epoch);
        const RandomWords w = philox(rng_seed, stream, tick, static_cast<uint32_t>(i));
        // The upper half of 64 random bits times (i + 1): 0..i, in integers only.
        const uint64_t bound = static_cast<uint64_t>(i) + 1;
        const uint64_t j = (w.x0 * bound + ((w.x1 * bound) >> 32)) >> 32;
        const int32_t moved = out[i];
        out[i] = out[j];
        out[j] = moved;
    }
}

}  // namespace
}  // namespace neuroplast

#endif
