"""The C++ runtime library: the pool of threads, the products over it, and where BLAS is found."""

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

import neuroplast
from neuroplast.engine import blas
from neuroplast.errors import BuildError

TEMPLATES = Path(neuroplast.__file__).parent / "engine" / "templates"
FLAGS = ["-std=c++11", "-O3", "-ffast-math", "-march=native", "-pthread", "-Werror=double-promotion"]
# What the program's struct Product holds: ta, tb, m, n, k; lda, ldb, ldc; the sizes of A, B, C; alpha, beta.
HEADER = np.dtype([("bytes", "i8"), ("shape", "i8", 5), ("ld", "i8", 3), ("sizes", "i8", 3), ("scale", "f8", 2)])


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs a check of the C++ program with a number of threads; returns what it prints."""
    folder = tmp_path_factory.mktemp("runtime")
    found = blas.find()
    (folder / "main.cpp").write_text(PROGRAM)
    flags = [*FLAGS, f"-I{TEMPLATES}", *found.compile_flags]
    subprocess.run(["g++", *flags, "main.cpp", "-o", "main", *found.link_flags], cwd=folder, check=True)

    def run(check, threads, data=b""):
        command = [folder / "main", check, str(threads)]
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, timeout=30)

    return run


PROGRAM = r"""
#include "gemm.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
using namespace neuroplast;

// Waits until this many panels are running at the same time.
struct Meeting {
    std::atomic<int> present{0};
    void wait(int expected) { present++; while (present < expected) std::this_thread::yield(); }
};

// Every panel of many jobs runs exactly once, whether the workers spin, sleep or are late.
int each_once()
{
    std::vector<int> runs(64);
    for (int job = 0; job < 20000; job++) {
        const int panels = job * 7 % 64;
        std::fill(runs.begin(), runs.end(), 0);
        if (job % 2000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        parallel(panels, [&](int64_t p) { runs[p]++; });
        for (int p = 0; p < 64; p++)
            if (runs[p] != (p < panels)) return 1;
    }
    return 0;
}

// Prints how many threads took part in a job that needs all of them at once, after they have been asleep.
int members()
{
    std::set<std::thread::id> seen;
    std::mutex mutex;
    for (int job = 0; job < 3; job++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        Meeting meeting;
        parallel(pool_threads, [&](int64_t) {
            meeting.wait(pool_threads);
            std::lock_guard<std::mutex> lock(mutex);
            seen.insert(std::this_thread::get_id());
        });
    }
    std::printf("%d", static_cast<int>(seen.size()));
    return 0;
}

// A job within a panel runs on the panel's thread.
int nested()
{
    std::vector<int> runs(50);
    std::atomic<int> strangers(0);
    parallel(10, [&](int64_t p) {
        const std::thread::id mine = std::this_thread::get_id();
        parallel(5, [&](int64_t q) {
            runs[5 * p + q]++;
            if (std::this_thread::get_id() != mine) strangers++;
        });
    });
    for (int r : runs)
        if (r != 1) return 1;
    return strangers;
}

// The program ends properly when a panel ends it, on a worker or on the caller.
int leave(bool on_worker)
{
    const std::thread::id caller = std::this_thread::get_id();
    Meeting meeting;
    std::atomic<bool> left(false);
    // As many panels as threads, which wait for each other: each thread has one of them, the caller too.
    parallel(pool_threads, [&](int64_t) {
        meeting.wait(pool_threads);
        if ((std::this_thread::get_id() != caller) == on_worker && !left.exchange(true)) std::exit(7);
    });
    std::this_thread::sleep_for(std::chrono::seconds(30));
    return 1;
}

struct Product {
    int64_t bytes, ta, tb, m, n, k, lda, ldb, ldc, sizes[3];
    double alpha, beta;
};

template <class T> void multiply(const Product& p)
{
    std::vector<T> A(p.sizes[0]), B(p.sizes[1]), C(p.sizes[2]);
    for (std::vector<T>* X : {&A, &B, &C})
        if (std::fread(X->data(), sizeof(T), X->size(), stdin) != X->size()) std::exit(2);
    gemm<T>(p.ta, p.tb, p.m, p.n, p.k, p.alpha, A.data(), p.lda, B.data(), p.ldb, p.beta, C.data(), p.ldc);
    std::fwrite(C.data(), sizeof(T), C.size(), stdout);
}

int products()
{
    Product p;
    while (std::fread(&p, sizeof p, 1, stdin) == 1) {
        if (p.bytes == 4) multiply<float>(p);
        else multiply<double>(p);
    }
    return 0;
}

// y = 2 A^T x - y and A += 3 x y^T for A[i][j] = 10 i + j in 3 x 2.
template <class T> void vectors()
{
    std::vector<T> A = {0, 1, 10, 11, 20, 21}, x = {1, -9, 2, -9, 3}, y = {5, 6};
    blas_gemv(true, 3, 2, T(2), A.data(), 2, x.data(), 2, T(-1), y.data(), 1);
    std::printf("%g %g ", static_cast<double>(y[0]), static_cast<double>(y[1]));
    blas_gemv(false, 3, 2, T(1), A.data(), 2, y.data(), 1, T(0), x.data(), 2);
    blas_ger(3, 2, T(3), x.data(), 2, y.data(), 1, A.data(), 2);
    for (T a : A) std::printf("%g ", static_cast<double>(a));
}

int main(int, char** argv)
{
    blas_single_thread();
    const std::string check = argv[1];
    pool_threads = std::atoi(argv[2]);
    if (check == "each_once") return each_once();
    if (check == "members") return members();
    if (check == "nested") return nested();
    if (check == "leave_worker") return leave(true);
    if (check == "leave_caller") return leave(false);
    if (check == "products") return products();
    if (check == "vectors") { vectors<float>(); vectors<double>(); return 0; }
    std::printf("%d", NEUROPLAST_BLAS_NAME(openblas_get_num_threads)());
    return 0;
}
"""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_panel_runs_once(program, threads):
    assert program("each_once", threads).returncode == 0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_work_at_the_same_time_and_the_caller_is_one_of_them(program, threads):
    assert program("members", threads).stdout == str(threads).encode()


@pytest.mark.parametrize("threads", [1, 3])
def test_nested_jobs_run_inline(program, threads):
    assert program("nested", threads).returncode == 0


@pytest.mark.parametrize("check", ["leave_worker", "leave_caller"])
def test_exit_within_a_panel_ends_the_program(program, check):
    assert program(check, 3).returncode == 7


def test_blas_has_one_thread(program):
    assert program("blas_threads", 4).stdout == b"1"


# ta, tb, m, n, k: one panel; two by rows; two by columns; many with an odd rest; a matrix with a vector; for tiles: two
# products that are made transposed, one of few rows, one of several blocks of rows that are moved together.
SHAPES = [
    (0, 0, 3, 2, 5),
    (1, 0, 10, 64, 100),
    (0, 1, 784, 1024, 16),
    (1, 0, 1000, 64, 37),
    (1, 1, 770, 80, 41),
    (0, 0, 64, 1024, 50),
    (1, 1, 50, 801, 64),
    (0, 0, 12301, 30, 100),
    (0, 1, 30, 12301, 100),
    (1, 0, 900, 1, 2500),
    (1, 0, 1003, 70, 300),
    (1, 1, 517, 33, 229),
    (1, 0, 10, 300, 400),
    (0, 1, 95, 517, 250),
]


def product(rng, dtype, ta, tb, m, n, k, alpha, beta):
    """One product: the program's input, C as it must be, and the largest rounding error; rows are padded."""
    A, B, C = (
        rng.standard_normal((rows, columns + 3)).astype(dtype)
        for rows, columns in [((m, k)[ta], (k, m)[ta]), ((k, n)[tb], (n, k)[tb]), (m, n)]
    )
    A[0, 0] = B[-1, 0] = np.finfo(dtype).tiny / 1000  # whether threads treat denormals alike
    left, right = (X[:, :-3].astype(float) for X in (A, B))
    left, right = left.T if ta else left, right.T if tb else right
    true, error = C.astype(float), np.zeros(C.shape)
    true[:, :-3] = alpha * (left @ right) + beta * C[:, :-3]
    error[:, :-3] = 4 * np.finfo(dtype).eps * (np.sqrt(k) * np.abs(left) @ np.abs(right) + np.abs(C[:, :-3]))
    if beta == 0:
        C[:, :-3] = np.nan
    shape, ld = (ta, tb, m, n, k), (A.shape[1], B.shape[1], C.shape[1])
    header = np.array((C.itemsize, shape, ld, (A.size, B.size, C.size), (alpha, beta)), HEADER)
    return b"".join(part.tobytes() for part in (header, A, B, C)), true, error


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_right_and_the_same_bytes_on_any_number_of_threads(program, dtype):
    rng = np.random.default_rng(5)
    scales = [(1, 0), (1.5, -0.5)] * (len(SHAPES) // 2)
    made = [product(rng, dtype, *shape, *scale) for shape, scale in zip(SHAPES, scales, strict=True)]
    data = b"".join(source for source, _, _ in made)
    one = program("products", 1, data).stdout
    results = np.frombuffer(one, dtype)
    assert len(results) == sum(true.size for _, true, _ in made)
    for _, true, error in made:
        C, results = results[: true.size].reshape(true.shape), results[true.size :]
        assert (np.abs(C - true) <= error).all(), true.shape
    for threads in (2, 3, 5):
        assert program("products", threads, data).stdout == one


def test_products_with_vectors(program):
    A = np.array([[0, 1], [10, 11], [20, 21]])
    x, y = np.array([1, 2, 3]), np.array([5, 6])
    y = 2 * A.T @ x - y
    A = A + 3 * np.outer(A @ y, y)
    assert program("vectors", 1).stdout.split() == [b"%g" % v for v in [*y, *A.flat]] * 2


def package(folder, header="void scipy_cblas_dgemm(int);", library="libscipy_openblas.so"):
    """An unpacked wheel, as far as it is looked at."""
    for name, text in (("include/cblas.h", header), (f"lib/{library}", "")):
        if text is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
    return folder


def test_blas_of_a_package(tmp_path):
    found = blas.read_package(package(tmp_path), "1.2")
    assert found.compile_flags == [f"-I{tmp_path}/include", "-DNEUROPLAST_BLAS_PREFIX=scipy_"]
    assert found.link_flags == [f"-L{tmp_path}/lib", "-lscipy_openblas", f"-Wl,-rpath,{tmp_path}/lib"]
    assert found.version == "1.2"


def test_blas_without_a_prefix(tmp_path):
    package(tmp_path, "void cblas_dgemm (int);", "libopenblas.dylib")
    found = blas.read_package(tmp_path, "1.2")
    assert (found.prefix, found.library) == ("", "openblas")


@pytest.mark.parametrize(
    "parts, missing",
    [
        ({"header": None}, "no header .*cblas.h"),
        ({"header": "int other;"}, "declares no cblas_dgemm"),
        ({"library": "readme.txt"}, "no lib.*openblas"),
    ],
)
def test_an_incomplete_blas_is_named_with_its_remedy(tmp_path, parts, missing):
    with pytest.raises(BuildError, match=f"{missing}.*pip install") as error:
        blas.read_package(package(tmp_path, **parts), "1.2")
    assert str(tmp_path) in str(error.value)


def test_a_missing_blas_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match="pip install scipy-openblas32"):
        blas.find()
