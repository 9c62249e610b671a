"""What the core's memory allows: a copy, and the least that any RFLO step does to its matrices."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from neuroplast.errors import BuildError

# The barrier makes each pass happen: without it the compiler may merge or drop them.
SOURCE = r"""
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#define BARRIER asm volatile("" ::: "memory")
int main(int, char **arg) {
    const bool copy = !std::strcmp(arg[1], "copy");
    const size_t n = std::atol(arg[2]), passes = std::atol(arg[3]);
    REAL *__restrict w = (REAL *)std::aligned_alloc(64, (n * sizeof(REAL) + 63) / 64 * 64);
    REAL *__restrict p = (REAL *)std::aligned_alloc(64, (n * sizeof(REAL) + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++) { w[i] = 1; p[i] = 1; }
    std::chrono::steady_clock::time_point start;
    for (size_t pass = 0; pass < passes + 2; pass++) {
        if (pass == 2) start = std::chrono::steady_clock::now();
        if (copy) {
            if (pass & 1) std::memcpy(w, p, n * sizeof(REAL)); else std::memcpy(p, w, n * sizeof(REAL));
        } else {
            for (size_t i = 0; i < n; i++) { p[i] = REAL(0.9) * p[i] + REAL(0.1); w[i] += REAL(1e-9) * p[i];
            }
        }
        BARRIER;
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    std::printf("%.9g\n", taken.count() / passes);
}
"""


class Sweep:
    """Passes over two N x N matrices by a small C++ program of its own.

    Parameters
    ----------
    N : int
        Rows and columns.
    dtype : {"float64", "float32"}
    kind : {"copy", "update"}
        "copy" copies one matrix to the other (memcpy); "update" moves both in place as the step moves its
        trace and weight, and does nothing else.

    Raises
    ------
    BuildError
        If there is no C++ compiler or it fails.
    """

    def __init__(self, N, dtype, kind):
        self.elements, self.kind = N * N, kind
        self.bytes = {"copy": 2, "update": 4}[kind] * self.elements * np.dtype(dtype).itemsize
        self.folder = tempfile.TemporaryDirectory(prefix="neuroplast-bench-")
        source, self.program = Path(self.folder.name, "sweep.cpp"), Path(self.folder.name, "sweep")
        source.write_text(SOURCE)
        real = {"float64": "double", "float32": "float"}[str(np.dtype(dtype))]
        flags = ["-O3", "-ffast-math", "-march=native", f"-DREAL={real}"]
        command = ["g++", *flags, str(source), "-o", str(self.program)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as missing:
            raise BuildError("bandwidth not measured: no g++ found; install a C++ compiler") from missing
        except subprocess.CalledProcessError as failed:
            tail = "\n".join(failed.stderr.splitlines()[-10:])
            raise BuildError(f"bandwidth not measured, g++ failed:\n{tail}") from failed

    def time(self, steps):
        """Seconds per pass, of `10 * steps` passes after two that warm the cache."""
        command = [str(self.program), self.kind, str(self.elements), str(10 * steps)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
