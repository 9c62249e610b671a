"""Random numbers: published vectors, C++ against numpy, and statistics with fixed seeds."""

import subprocess
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import neuroplast
from neuroplast.engine import philox
from neuroplast.errors import InputError

TEMPLATES = Path(neuroplast.__file__).parent / "engine" / "templates"

# Prints the first n numbers of each kind for a key, and the float transforms at the ends of the words' range.
PROGRAM = r"""
#include "random.h"
#include <cstdio>
#include <cstdlib>
#include <vector>
using namespace neuroplast;
template <class T> void put(const std::vector<T>& v) { std::fwrite(v.data(), sizeof(T), v.size(), stdout); }
int main(int, char** argv)
{
    rng_seed = std::strtoull(argv[1], nullptr, 10);
    const uint32_t stream = std::strtoul(argv[2], nullptr, 10);
    rng_tick = std::strtoll(argv[3], nullptr, 10);
    const int n = std::atoi(argv[4]);
    std::vector<double> u(n), z(n), ends(64);
    std::vector<float> uf(n), zf(n), ends_f(64);
    std::vector<int32_t> order(n);
    for (int i = 0; i < n; i++) u[i] = uniform(stream, i);
    for (int i = 0; i < n; i++) z[i] = normal(stream, i);
    for (int i = 0; i < n; i++) uf[i] = uniform_f(stream, i);
    for (int i = 0; i < n; i++) zf[i] = normal_f(stream, i);
    // The same in two pieces, which begin and end anywhere.
    std::vector<double> together(n);
    std::vector<float> together_f(n);
    const int cut = n / 3;
    uniforms(stream, 0, cut, together.data()), uniforms(stream, cut, n - cut, together.data() + cut);
    uniforms(stream, 0, cut, together_f.data()), uniforms(stream, cut, n - cut, together_f.data() + cut);
    if (together != u || together_f != uf) return 1;
    permutation(stream, rng_tick, n, order.data());
    std::vector<uint32_t> extreme(64);
    for (int i = 0; i < 64; i++) extreme[i] = i % 2 ? 0xffffffffu : 0;
    const uint32_t* e = extreme.data();
    for (int i = 0; i < 64; i++) ends[i] = normal_from(RandomWords{e[i], e[i], 0, 0});
    for (int i = 0; i < 64; i++) ends_f[i] = normal_from_f(RandomWords{e[i], e[i], 0, 0});
    put(u); put(z); put(uf); put(zf); put(order); put(ends); put(ends_f);
}
"""
# Seed, stream and tick beyond 32 bits where they may be; a length that leaves a rest in any vector loop.
KEYS = [(0, 0, 0), (2**64 - 3, 2**32 - 1, 2**40 + 5), (12345, 7, -1)]
N = 5003
# How often a statistical test may fail with a sound generator, chosen before looking.
FALSE_ALARM = 1e-3


@pytest.fixture(scope="module")
def cpp(tmp_path_factory):
    """Numbers of the C++ library, compiled once with the flags that simulations are compiled with."""
    folder = tmp_path_factory.mktemp("random")
    (folder / "main.cpp").write_text(PROGRAM)
    flags = ["-std=c++11", "-O3", "-ffast-math", "-march=native", "-Werror=double-promotion"]
    subprocess.run(["g++", *flags, f"-I{TEMPLATES}", "main.cpp", "-o", "main"], cwd=folder, check=True)

    def numbers(seed, stream, tick, n=N):
        arguments = map(str, (seed, stream, tick, n))
        data = subprocess.run([folder / "main", *arguments], stdout=subprocess.PIPE, check=True).stdout
        fields = [("u", "f8", n), ("z", "f8", n), ("uf", "f4", n), ("zf", "f4", n), ("order", "i4", n)]
        return np.frombuffer(data, np.dtype([*fields, ("ends", "f8", 64), ("ends_f", "f4", 64)]))[0]

    return numbers


# The known answers that the authors publish with Random123 (kat_vectors, philox4x32 10): counter, key, words.
@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_words_are_the_published_ones(counter, key, expected):
    index, low, high, stream = counter
    words = philox.words(key[0] + (key[1] << 32), stream, low + (high << 32), index)
    assert tuple(int(word[0]) for word in words) == expected


@pytest.mark.parametrize("key", KEYS)
def test_cpp_equals_numpy(cpp, key):
    made, index = cpp(*key), np.arange(N)
    assert made["u"].tobytes() == philox.uniform(*key, index).tobytes()
    assert made["uf"].tobytes() == philox.uniform(*key, index, np.float32).tobytes()
    assert made["order"].tobytes() == philox.permutation(*key, N).tobytes()
    np.testing.assert_allclose(made["z"], philox.normal(*key, index), rtol=1e-14, atol=1e-15)
    single = philox.normal(*key, index, np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(made["zf"], single, rtol=2e-6, atol=1e-6)


def test_a_number_does_not_depend_on_how_many_are_drawn_with_it(cpp):
    few, many = cpp(*KEYS[1], 37), cpp(*KEYS[1])
    assert few["u"].tobytes() == many["u"][:37].tobytes()
    some = philox.normal(*KEYS[1], np.array([36, 5]))
    np.testing.assert_allclose(some, many["z"][[36, 5]], rtol=1e-14)


def test_normal_numbers_are_finite_at_both_ends(cpp):
    made = cpp(*KEYS[0], 1)
    np.testing.assert_allclose(made["ends"][::2], np.sqrt(2 * 53 * np.log(2)))
    np.testing.assert_allclose(made["ends_f"][::2], np.sqrt(2 * 32 * np.log(2)), rtol=1e-6)
    np.testing.assert_allclose(made["ends"][1::2], 0, atol=2e-8)
    assert not made["ends_f"][1::2].any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("draw, distribution", [(philox.uniform, "uniform"), (philox.normal, "norm")])
def test_distributions(draw, distribution, dtype):
    # One key in a hundred has a p-value below 0.01; over many keys, p-values of sound numbers are uniform.
    drawn = [draw(seed, 2, 3, np.arange(5000), dtype) for seed in range(100)]
    assert {numbers.dtype for numbers in drawn} == {np.dtype(dtype)}
    pvalues = [stats.kstest(numbers.astype(float), distribution).pvalue for numbers in drawn]
    assert stats.kstest(pvalues, "uniform").pvalue > FALSE_ALARM


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_and_range(dtype):
    n = 1_000_000
    u = philox.uniform(1, 2, 3, np.arange(n), dtype)
    assert 0 <= u.min() < 1e-5 and 1 - 1e-5 < u.max() < 1
    z = philox.normal(1, 2, 4, np.arange(n), dtype).astype(float)
    # Moments of N(0, 1) and the moments of twice the order, which give their standard errors.
    for power, moment, doubled in [(1, 0, 1), (2, 1, 3), (3, 0, 15), (4, 3, 105), (6, 15, 10395)]:
        assert abs(np.mean(z**power) - moment) < 4 * np.sqrt((doubled - moment**2) / n)


def test_neighbouring_keys_are_independent():
    n = 20_000
    index = np.arange(n)
    keys = [(0, 0, 0), (1, 0, 0), (2**32, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2**32)]
    drawn = [philox.normal(*key, index) for key in keys] + [philox.normal(0, 0, 0, index + 1)]
    off_diagonal = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    assert np.abs(off_diagonal).max() < 4 / np.sqrt(n)


def test_permutations_are_equally_likely():
    drawn = [tuple(philox.permutation(3, 4, epoch, 4)) for epoch in range(2400)]
    counts = [drawn.count(order) for order in permutations(range(4))]
    assert sum(counts) == 2400
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutation_holds_each_number_once(n):
    first, second = (philox.permutation(5, 0, epoch, n) for epoch in (0, 1))
    assert first.dtype == np.int32
    assert sorted(first) == sorted(second) == list(range(n))
    if n == 1000:
        assert (first != second).mean() > 0.98


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "1"])
def test_a_seed_that_is_none_is_named(seed):
    with pytest.raises(InputError, match="integer from 0 to") as error:
        philox.uniform(seed, 0, 0, 0)
    assert repr(seed) in str(error.value)
