// A product of matrices in single precision for processors with AVX-512. With matrices as large as a learning network's
// and batches of tens or hundreds it takes less time than OpenBLAS's (`neuroplast bench pepita` measures both).
//
// After Goto and van de Geijn (2008), "Anatomy of high-performance matrix multiplication": operands are copied into
// panels that the innermost loop reads one number after the other, and a tile of 6 x 64 sums stays in the registers. The
// panels of six rows are made once, those of 64 columns where they are used, in the first cache. A small product of a
// large matrix is made transposed, since copying 64 numbers at a time is three times as fast as six.
//
// Each element is the same sum in the same order, however the panels are shared out.
#ifndef NEUROPLAST_TILES_H
#define NEUROPLAST_TILES_H

#if defined(__AVX512F__) && defined(__GNUC__)
#define NEUROPLAST_TILES

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pool.h"

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

const int lanes = 16;                           // numbers in a vector
const int64_t tile_rows = 6, tile_vectors = 4;  // 24 vectors of sums; the others are for operands
const int64_t tile_columns = tile_vectors * lanes;
const int64_t most_products = 112;              // that a tile sums at a time
const int64_t turned_rows = 96;                 // that are transposed at a time

typedef float Lanes __attribute__((vector_size(4 * lanes)));
typedef float LooseLanes __attribute__((vector_size(4 * lanes), aligned(4), may_alias));
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t Places __attribute__((vector_size(4 * lanes)));

// An operand: element (p, i) is the factor of product p in row (or column) i of the result.
struct Operand {
    const float* data;
    int64_t ld;
    bool across;  // (p, i) is data[p*ld + i], not data[i*ld + p]
    const float* at(int64_t p, int64_t i) const { return data + (across ? p * ld + i : i * ld + p); }
};

// rows[i][j] <-> rows[j][i], by exchanging ever larger blocks.
inline void transpose(Lanes* rows)
{
#pragma GCC unroll 4
    for (int size = 1; size < lanes; size *= 2) {
        Places first, second;
        for (int j = 0; j < lanes; j++) {
            first[j] = j & size ? lanes + j - size : j;
            second[j] = j & size ? lanes + j : j + size;
        }
#pragma GCC unroll 16
        for (int i = 0; i < lanes; i++)
            if (!(i & size)) {
                const Lanes a = rows[i], b = rows[i + size];
                rows[i] = __builtin_shuffle(a, b, first);
                rows[i + size] = __builtin_shuffle(a, b, second);
            }
    }
}

// out[j*width + i] = M[i*ld + j] for i < rows, j < columns.
__attribute__((noinline)) inline void transpose(const float* M, int64_t ld, int64_t rows, int64_t columns, float* out,
                                                int64_t width)
{
    const int64_t whole = rows / lanes * lanes, across = columns / lanes * lanes;
    for (int64_t i = 0; i < whole; i += lanes)
        for (int64_t j = 0; j < across; j += lanes) {
            Lanes square[lanes];
#pragma GCC unroll 16
            for (int r = 0; r < lanes; r++) square[r] = *reinterpret_cast<const LooseLanes*>(M + (i + r) * ld + j);
            transpose(square);
#pragma GCC unroll 16
            for (int r = 0; r < lanes; r++) *reinterpret_cast<LooseLanes*>(out + (j + r) * width + i) = square[r];
        }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole ? across : 0; j < columns; j++) out[j * width + i] = M[i * ld + j];
}

// Numbers in a panel of six rows. They are copied eight at a time, of which the next copy replaces two.
inline int64_t panel_length(int64_t products) { return (products * tile_rows + 2 + lanes - 1) / lanes * lanes; }

// Panels of six rows: out[panel][p][row], with zeros for rows that are not there.
inline void pack_rows(const Operand& from, int64_t p0, int64_t products, int64_t rows, float* out)
{
    const int64_t length = panel_length(products), at_once = from.across ? rows : turned_rows;
    alignas(64) float turned[turned_rows * most_products];
    for (int64_t first = 0; first < rows; first += at_once) {
        const int64_t count = std::min(at_once, rows - first);
        const float* const M = from.across ? from.at(p0, first) : turned;
        const int64_t ld = from.across ? from.ld : turned_rows;
        if (!from.across) transpose(from.at(p0, first), from.ld, count, products, turned, turned_rows);
        for (int64_t i = 0; i < count; i += tile_rows, out += length)
            if (i + 8 <= count)
                for (int64_t p = 0; p < products; p++)
                    *reinterpret_cast<Eight*>(out + p * tile_rows) = *reinterpret_cast<const Eight*>(M + p * ld + i);
            else
                for (int64_t p = 0; p < products; p++)
                    for (int64_t r = 0; r < tile_rows; r++)
                        out[p * tile_rows + r] = i + r < count ? M[p * ld + i + r] : 0;
    }
}

// A panel of up to 64 columns: out[p][column], with zeros up to whole vectors.
inline void pack_columns(const Operand& from, int64_t p0, int64_t products, int64_t first, int64_t columns, float* out)
{
    const int64_t width = (columns + lanes - 1) / lanes * lanes;
    const float* const M = from.at(p0, first);
    if (columns < width) std::fill(out, out + width * products, 0.0f);
    if (!from.across) transpose(M, from.ld, columns, products, out, width);
    else if (columns == tile_columns)  // a length that the compiler knows
        for (int64_t p = 0; p < products; p++) std::copy_n(M + p * from.ld, tile_columns, out + p * tile_columns);
    else
        for (int64_t p = 0; p < products; p++) std::copy_n(M + p * from.ld, columns, out + p * width);
}

// A tile of C = alpha A B + beta C from a panel of six rows of A and one of columns of B; rows x columns are there.
template <int vectors>
__attribute__((noinline)) void tile(int64_t products, const float* A, const float* B, float alpha, float beta, float* C,
                                    int64_t ldc, int64_t rows, int64_t columns)
{
    const int64_t width = vectors * lanes;
    Lanes sum[tile_rows][vectors];
    for (int64_t i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) __builtin_prefetch(C + i * ldc + v * lanes, 1);
#pragma GCC unroll 6
    for (int i = 0; i < tile_rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[i][v] = Lanes{};
    for (int64_t p = 0; p < products; p++) {
        Lanes b[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) b[v] = *reinterpret_cast<const Lanes*>(B + p * width + v * lanes);
#pragma GCC unroll 6
        for (int i = 0; i < tile_rows; i++) {
            Lanes a = Lanes{} + A[p * tile_rows + i];
            asm("" : "+v"(a));  // loaded once, not once for each vector
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] += a * b[v];
        }
    }
    Lanes part[tile_rows][vectors];  // sums that are addressed by a variable would not stay in the registers
    float* const out = rows < tile_rows || columns < width ? reinterpret_cast<float*>(part) : C;
    const int64_t ld = out == C ? ldc : width;
    if (out != C && beta != 0)
        for (int64_t i = 0; i < rows; i++) std::copy_n(C + i * ldc, columns, out + i * width);
#pragma GCC unroll 6
    for (int i = 0; i < tile_rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            LooseLanes* const c = reinterpret_cast<LooseLanes*>(out + i * ld + v * lanes);
            *c = beta == 0 ? alpha * sum[i][v] : alpha * sum[i][v] + beta * *c;
        }
    if (out != C)
        for (int64_t i = 0; i < rows; i++) std::copy_n(out + i * width, columns, C + i * ldc);
}

// Columns first..first+columns of C = alpha A B + beta C (at most 64 of them) with all of its rows, which are packed by
// blocks of `depth` products. `turned`: C is stored transposed.
inline void multiply_columns(const float* A, int64_t rows, const Operand& B, int64_t first, int64_t columns, int64_t k,
                             int64_t depth, float alpha, float beta, float* C, int64_t ldc, bool turned)
{
    alignas(64) float panel[most_products * tile_columns];
    const int64_t panels = (rows + tile_rows - 1) / tile_rows;
    const auto make = columns > 3 * lanes ? tile<4> : columns > 2 * lanes ? tile<3> : columns > lanes ? tile<2> : tile<1>;
    static thread_local std::vector<float> kept;
    float* out = C + (turned ? first * ldc : first);
    int64_t ld = ldc;
    if (turned) {
        kept.resize(std::max<size_t>(kept.size(), rows * tile_columns));
        if (beta != 0) transpose(out, ldc, columns, rows, kept.data(), tile_columns);
        out = kept.data(), ld = tile_columns;
    }
    for (int64_t p = 0; p < k; p += depth) {
        const int64_t products = std::min(depth, k - p), length = panel_length(products);
        pack_columns(B, p, products, first, columns, panel);
        for (int64_t i = 0; i < panels; i++)
            make(products, A + p / depth * panels * panel_length(depth) + i * length, panel, alpha, p ? 1 : beta,
                 out + i * tile_rows * ld, ld, std::min(tile_rows, rows - i * tile_rows), columns);
    }
    if (turned) transpose(out, ld, rows, columns, C + first * ldc, ldc);
}

// Whether the product is large enough for copying its operands, and tiles are well filled.
inline bool suits_tiles(int64_t m, int64_t n, int64_t k)
{
    return std::min(m, n) >= lanes && k >= lanes && m * n * k >= int64_t(1) << 20;
}

// As gemm (see gemm.h).
inline void gemm_tiles(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda,
                       const float* B, int64_t ldb, float beta, float* C, int64_t ldc)
{
    static thread_local std::vector<float> packed;
    const bool turned = n < k && n < m;
    const Operand a{A, lda, ta}, b{B, ldb, !tb}, &by_rows = turned ? b : a, &by_columns = turned ? a : b;
    const int64_t rows = turned ? n : m, columns = turned ? m : n, panels = (rows + tile_rows - 1) / tile_rows;
    const int64_t depths = (k + most_products - 1) / most_products, depth = (k + depths - 1) / depths;
    packed.resize(std::max<size_t>(packed.size(), depths * panels * panel_length(depth) + lanes));
    float* const first = packed.data() + (64 - reinterpret_cast<uintptr_t>(packed.data()) % 64) / 4;  // of a cache line
    parallel(depths, [&](int64_t d) {
        const int64_t p = d * depth;
        pack_rows(by_rows, p, std::min(depth, k - p), rows, first + d * panels * panel_length(depth));
    });
    parallel((columns + tile_columns - 1) / tile_columns, [&](int64_t c) {
        const int64_t j = c * tile_columns;
        multiply_columns(first, rows, by_columns, j, std::min(tile_columns, columns - j), k, depth, alpha, beta, C, ldc,
                         turned);
    });
}

}  // namespace
}  // namespace neuroplast

#endif
#endif
