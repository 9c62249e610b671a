// Products of dense row-major matrices: BLAS for both types, and a product that is split into panels over the pool.
#ifndef NEUROPLAST_GEMM_H
#define NEUROPLAST_GEMM_H

#include <cblas.h>
#include <cstdint>

#include "pool.h"
#include "tiles.h"

// What the library puts before every name; blas.py reads it from the header and defines it on the command line.
#ifndef NEUROPLAST_BLAS_PREFIX
#error "NEUROPLAST_BLAS_PREFIX is not defined: compile with the flags of neuroplast.engine.blas.find()"
#endif
#define NEUROPLAST_JOIN_(prefix, name) prefix##name
#define NEUROPLAST_JOIN(prefix, name) NEUROPLAST_JOIN_(prefix, name)
#define NEUROPLAST_BLAS_NAME(name) NEUROPLAST_JOIN(NEUROPLAST_BLAS_PREFIX, name)

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

// A BLAS that threads by itself rounds differently with other numbers of threads. Call this once, before any product.
inline void blas_single_thread() { NEUROPLAST_BLAS_NAME(openblas_set_num_threads)(1); }

inline CBLAS_TRANSPOSE blas_transpose(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

// C = alpha op(A) op(B) + beta C in one call, on the calling thread; arguments as for gemm below.
inline void blas_gemm(bool ta, bool tb, int m, int n, int k, float alpha, const float* A, int lda, const float* B,
                      int ldb, float beta, float* C, int ldc)
{
    NEUROPLAST_BLAS_NAME(cblas_sgemm)
    (CblasRowMajor, blas_transpose(ta), blas_transpose(tb), m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}

inline void blas_gemm(bool ta, bool tb, int m, int n, int k, double alpha, const double* A, int lda, const double* B,
                      int ldb, double beta, double* C, int ldc)
{
    NEUROPLAST_BLAS_NAME(cblas_dgemm)
    (CblasRowMajor, blas_transpose(ta), blas_transpose(tb), m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}

// y = alpha op(A) x + beta y on the calling thread; A is stored as m x n whether ta is set or not.
inline void blas_gemv(bool ta, int m, int n, float alpha, const float* A, int lda, const float* x, int incx,
                      float beta, float* y, int incy)
{
    NEUROPLAST_BLAS_NAME(cblas_sgemv)(CblasRowMajor, blas_transpose(ta), m, n, alpha, A, lda, x, incx, beta, y, incy);
}

inline void blas_gemv(bool ta, int m, int n, double alpha, const double* A, int lda, const double* x, int incx,
                      double beta, double* y, int incy)
{
    NEUROPLAST_BLAS_NAME(cblas_dgemv)(CblasRowMajor, blas_transpose(ta), m, n, alpha, A, lda, x, incx, beta, y, incy);
}

// A += alpha x y^T on the calling thread; A is m x n.
inline void blas_ger(int m, int n, float alpha, const float* x, int incx, const float* y, int incy, float* A, int lda)
{
    NEUROPLAST_BLAS_NAME(cblas_sger)(CblasRowMajor, m, n, alpha, x, incx, y, incy, A, lda);
}

inline void blas_ger(int m, int n, double alpha, const double* x, int incx, const double* y, int incy, double* A,
                     int lda)
{
    NEUROPLAST_BLAS_NAME(cblas_dger)(CblasRowMajor, m, n, alpha, x, incx, y, incy, A, lda);
}

// Rows or columns of a panel, if a product of `work` multiplications is split along a side of this length into a
// power of two of them. BLAS packs the other operand again for each panel: panels shorter than `shortest` would cost
// more than 5 % on one thread. Panels with less than `least_work` are not worth waking a thread for.
inline int64_t panel_size(int64_t length, int64_t work)
{
    const int64_t shortest = 384, least_work = 1 << 20;
    int64_t panels = 1;
    while (length >= 2 * panels * shortest && work >= 2 * panels * least_work) panels *= 2;
    if (panels == 1) return length;
    // Whole multiples of 16, so that panels fill the kernel's registers and do not share cache lines.
    return ((length + panels - 1) / panels + 15) / 16 * 16;
}

// Whether a product was made without BLAS.
#ifdef NEUROPLAST_TILES
inline bool made_of_tiles(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda,
                          const float* B, int64_t ldb, float beta, float* C, int64_t ldc)
{
    if (!suits_tiles(m, n, k)) return false;
    gemm_tiles(ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
    return true;
}
#endif
template <class... Arguments> inline bool made_of_tiles(const Arguments&...) { return false; }

// C = alpha op(A) op(B) + beta C, row-major: op(A) is m x k, op(B) is k x n, C is m x n; ta and tb: A and B are
// stored transposed. With beta == 0, C is not read. The panels follow from m, n and k alone and each is one call on
// one thread: the same bytes on any number of threads.
template <class T>
__attribute__((noinline))  // once for all operations: inlined into each, it is what compiling them takes longest for
inline void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* A, int64_t lda, const T* B,
                 int64_t ldb, T beta, T* C, int64_t ldc)
{
    if (m == 0 || n == 0 || made_of_tiles(ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc)) return;
    // Splitting the rows is the cheaper way, unless there are few of them.
    const bool by_rows = 2 * m >= n;
    const int64_t length = by_rows ? m : n;
    const int64_t size = panel_size(length, m * n * k);
    parallel((length + size - 1) / size, [&](int64_t p) {
        const int64_t first = p * size, count = first + size <= length ? size : length - first;
        if (by_rows) {
            const T* rows = A + (ta ? first : first * lda);
            blas_gemm(ta, tb, count, n, k, alpha, rows, lda, B, ldb, beta, C + first * ldc, ldc);
        } else {
            const T* columns = B + (tb ? first * ldb : first);
            blas_gemm(ta, tb, m, count, k, alpha, A, lda, columns, ldb, beta, C + first, ldc);
        }
    });
}

}  // namespace
}  // namespace neuroplast

#endif
