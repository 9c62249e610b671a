// A product of matrices in single precision for processors with AVX-512. With matrices as large as a learning network's
// and batches of tens or hundreds it takes less time than OpenBLAS's (`neuroplast bench pepita` measures both).
//
// After Goto and van de Geijn (2008), "Anatomy of high-performance matrix multiplication": operands are copied into
// panels that the innermost loop reads one number after the other, and a tile of 6 x 64 sums stays in the registers.
// Panels of 64 columns are made where they are used, in the first cache; those of six rows once, and only where the
// numbers of a row are not next to each other anyway. A product of a large matrix that would have to be copied by sixes
// is made transposed: 64 numbers at a time are copied three times as fast.
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
const int64_t block_rows = 16 * tile_rows;       // that share a panel of columns, if there are few of these

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

// Panels of six rows: out[panel][p][row], with zeros for rows that are not there. Rows that do not lie across are only
// moved together: out[row][p].
inline void pack_rows(const Operand& from, int64_t p0, int64_t products, int64_t rows, float* out)
{
    const float* const M = from.at(p0, 0);
    if (!from.across)
        for (int64_t i = 0; i < rows; i++) std::copy_n(M + i * from.ld, products, out + i * products);
    else for (int64_t i = 0; i < rows; i += tile_rows, out += panel_length(products))
        if (i + 8 <= rows)
            for (int64_t p = 0; p < products; p++)
                *reinterpret_cast<Eight*>(out + p * tile_rows) = *reinterpret_cast<const Eight*>(M + p * from.ld + i);
        else
            for (int64_t p = 0; p < products; p++)
                for (int64_t r = 0; r < tile_rows; r++)
                    out[p * tile_rows + r] = i + r < rows ? M[p * from.ld + i + r] : 0;
}

// A panel of up to 64 columns: out[p][column], with zeros up to whole vectors.
inline void pack_columns(const Operand& from, int64_t p0, int64_t products, int64_t first, int64_t columns, float* out)
{
    const int64_t width = (columns + lanes - 1) / lanes * lanes;
    const float* const M = from.at(p0, first);
    if (columns < width) std::fill(out, out + width * products, 0.0f);
    if (!from.across) transpose(M, from.ld, columns, products, out, width);
    else if (columns == tile_columns)  // a length that the compiler knows
        for (int64_t p = 0; p < products; p++)
#pragma GCC unroll 4
            for (int v = 0; v < tile_vectors; v++, out += lanes)
                *reinterpret_cast<LooseLanes*>(out) = *reinterpret_cast<const LooseLanes*>(M + p * from.ld + v * lanes);
    else
        for (int64_t p = 0; p < products; p++) std::copy_n(M + p * from.ld, columns, out + p * width);
}

// A tile of a result, or of the sums on the way to it.
struct Place {
    float* data;
    int64_t ld;
};

// A tile of `to` = alpha A B + beta `from`, from six rows of A, which are `lda` apart or packed as a panel, and a panel
// of columns of B; rows x columns are there. Meanwhile it fetches the lines that begin at `next` and stand `stride`
// apart, one for each product.
template <int vectors, bool packed>
__attribute__((noinline)) void tile(int64_t products, const float* A, int64_t lda, const float* B, float alpha,
                                    float beta, Place from, Place to, int64_t rows, int64_t columns,
                                    const float* next, int64_t stride)
{
    const int64_t width = vectors * lanes;
    Lanes sum[tile_rows][vectors];
    const float* row[tile_rows];
#pragma GCC unroll 6
    for (int64_t i = 0; i < tile_rows; i++) row[i] = packed ? A + i : A + std::min(i, rows - 1) * lda;
    for (int64_t i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) __builtin_prefetch(to.data + i * to.ld + v * lanes, 1);
#pragma GCC unroll 6
    for (int i = 0; i < tile_rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[i][v] = Lanes{};
    for (int64_t p = 0; p < products; p++) {
        __builtin_prefetch(next, 0, 2);
        next += stride;
        Lanes b[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) b[v] = *reinterpret_cast<const Lanes*>(B + p * width + v * lanes);
#pragma GCC unroll 6
        for (int i = 0; i < tile_rows; i++) {
            Lanes a = Lanes{} + (packed ? A[p * tile_rows + i] : row[i][p]);
            asm("" : "+v"(a));  // loaded once, not once for each vector
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] += a * b[v];
        }
    }
    Lanes part[tile_rows][vectors];  // sums that are addressed by a variable would not stay in the registers
    const bool whole = rows == tile_rows && columns == width;
    const Place apart{reinterpret_cast<float*>(part), width}, out = whole ? to : apart;
    if (!whole && beta != 0) {
        for (int64_t i = 0; i < rows; i++) std::copy_n(from.data + i * from.ld, columns, apart.data + i * width);
        from = apart;
    }
#pragma GCC unroll 6
    for (int i = 0; i < tile_rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            Lanes value = alpha * sum[i][v];
            if (beta != 0) value += beta * *reinterpret_cast<LooseLanes*>(from.data + i * from.ld + v * lanes);
            *reinterpret_cast<LooseLanes*>(out.data + i * out.ld + v * lanes) = value;
        }
    if (!whole)
        for (int64_t i = 0; i < rows; i++) std::copy_n(apart.data + i * width, columns, to.data + i * to.ld);
}

// The tile of that many columns.
template <bool packed> inline decltype(&tile<1, packed>) tile_of(int64_t columns)
{
    return columns > 3 * lanes ? tile<4, packed>
           : columns > 2 * lanes ? tile<3, packed>
           : columns > lanes ? tile<2, packed> : tile<1, packed>;
}

// A piece of C = alpha A B + beta C: some rows, and at most 64 columns.
struct Piece {
    int64_t row, rows, column, columns;
};

// A piece of the product of k factors, by blocks of `depth`. `packed`: all rows of A, unless they are used as they are;
// `block`: numbers in each of its blocks. `turned`: C is stored transposed.
inline void multiply(const Piece& at, const Operand& A, const float* packed, int64_t block, const Operand& B, int64_t k,
                     int64_t depth, float alpha, float beta, float* C, int64_t ldc, bool turned)
{
    alignas(64) float panel[most_products * tile_columns];
    static thread_local std::vector<float> kept;
    const Place here{turned ? C + at.column * ldc + at.row : C + at.row * ldc + at.column, ldc};
    // Sums over several blocks are made where rows are next to each other: where their distance is a power of two,
    // they drive each other out of the cache.
    if (turned || k > depth) kept.resize(std::max<size_t>(kept.size(), at.rows * tile_columns));
    const Place apart{kept.data(), tile_columns};
    if (turned && beta != 0) transpose(here.data, ldc, at.columns, at.rows, apart.data, apart.ld);
    const auto make = A.across ? tile_of<true>(at.columns) : tile_of<false>(at.columns);
    for (int64_t p = 0; p < k; p += depth) {
        const int64_t products = std::min(depth, k - p);
        pack_columns(B, p, products, at.column, at.columns, panel);
        const int64_t lda = A.across ? 0 : packed ? products : A.ld;
        const int64_t step = A.across ? panel_length(products) : tile_rows * lda;
        const float* rows = packed ? packed + p / depth * block + at.row / tile_rows * step : A.at(p, at.row);
        const Place from = p || turned ? apart : here, to = p + depth < k || turned ? apart : here;
        // With a small batch, waiting for the columns takes a seventh of the time: the first tiles fetch those of the
        // next panel, each a vector of each row. Where they do not lie across, the processor does so by itself.
        const float* next = p + depth < k ? B.at(p + depth, at.column) : B.at(0, at.column + tile_columns);
        for (int64_t i = 0; i < at.rows; i += tile_rows, rows += step, next += lanes) {
            const bool fetch = B.across && i < tile_vectors * tile_rows;
            make(products, rows, lda, panel, alpha, p ? 1 : beta, {from.data + i * from.ld, from.ld},
                 {to.data + i * to.ld, to.ld}, std::min(tile_rows, at.rows - i), at.columns, fetch ? next : panel,
                 fetch ? B.ld : 0);
        }
    }
    if (turned) transpose(apart.data, apart.ld, at.rows, at.columns, here.data, ldc);
}

// Whether the product is large enough for copying its operands (OpenBLAS has a way of its own for smaller ones).
inline bool suits_tiles(int64_t m, int64_t n, int64_t k)
{
    return std::min(m, n) >= 4 && k >= 8 && m * n * k >= int64_t(1) << 20;
}

// As gemm (see gemm.h).
inline void gemm_tiles(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda,
                       const float* B, int64_t ldb, float beta, float* C, int64_t ldc)
{
    const bool turned = ta && n < k && n < m;
    const Operand a{A, lda, ta}, b{B, ldb, !tb}, &by_rows = turned ? b : a, &by_columns = turned ? a : b;
    const int64_t rows = turned ? n : m, columns = turned ? m : n;
    const int64_t depths = (k + most_products - 1) / most_products, depth = (k + depths - 1) / depths;
    const int64_t across = (columns + tile_columns - 1) / tile_columns;
    const int64_t block = (rows + tile_rows - 1) / tile_rows * panel_length(depth);
    static thread_local std::vector<float> packed;
    float* first = nullptr;
    // Rows of which each block is a small part would be fetched piece by piece for every panel of columns.
    if (by_rows.across || (depths > 1 && across > 4)) {
        packed.resize(std::max<size_t>(packed.size(), depths * block + lanes));
        first = packed.data() + (64 - reinterpret_cast<uintptr_t>(packed.data()) % 64) / 4;  // of a cache line
        parallel(depths, [&](int64_t d) {
            pack_rows(by_rows, d * depth, std::min(depth, k - d * depth), rows, first + d * block);
        });
    }
    // Few panels of columns, that is a small batch: their rows are shared out too.
    const int64_t height = across < 8 ? std::min(rows, block_rows) : rows, blocks = (rows + height - 1) / height;
    parallel(across * blocks, [&](int64_t piece) {
        const int64_t row = piece % blocks * height, column = piece / blocks * tile_columns;
        multiply({row, std::min(height, rows - row), column, std::min(tile_columns, columns - column)}, by_rows, first,
                 block, by_columns, k, depth, alpha, beta, C, ldc, turned);
    });
}

}  // namespace
}  // namespace neuroplast

#endif
#endif
