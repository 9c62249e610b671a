"""The engine's random numbers in numpy: the twin of ``templates/random.h``.

A number is a function of (seed, stream, tick, index) and of nothing else, by the counter-based generator
Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"). Uniform
numbers and permutations equal the compiled target's bit for bit, normal numbers up to the rounding of log and
cos.
"""

from __future__ import annotations

import numpy as np

from neuroplast.errors import InputError

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85


def words(seed, stream, tick, index):
    """Four random words of 32 bits for each index.

    Parameters
    ----------
    seed : int
        0 to 2**64 - 1.
    stream : int
        0 to 2**32 - 1; each textual call of a random function has its own.
    tick : int
        Any 64-bit integer, a negative one as its two's complement.
    index : int or array of int
        0 to 2**32 - 1.

    Returns
    -------
    words : tuple of four uint64 arrays
        Each of the shape of `index` (of shape (1,) for a single one), with values below 2**32.

    Raises
    ------
    InputError
        If the seed is no integer from 0 to 2**64 - 1.
    """
    seed, tick = check_seed(seed), int(tick) % 2**64
    x0 = np.atleast_1d(np.asarray(index)).astype(np.uint64)
    x1, x2, x3 = (np.full(1, word, np.uint64) for word in (tick % 2**32, tick >> 32, stream))
    key0, key1 = seed % 2**32, seed >> 32
    for _ in range(10):
        p0, p1 = _MULTIPLIERS[0] * x0, _MULTIPLIERS[1] * x2
        x0, x1 = (p1 >> _HALF) ^ x1 ^ np.uint64(key0), p1 & _MASK
        x2, x3 = (p0 >> _HALF) ^ x3 ^ np.uint64(key1), p0 & _MASK
        key0, key1 = (key0 + _WEYL[0]) % 2**32, (key1 + _WEYL[1]) % 2**32
    return x0, x1, x2, x3


def check_seed(seed):
    """Check that a seed fits the generator's key.

    Parameters
    ----------
    seed : int

    Returns
    -------
    seed : int

    Raises
    ------
    InputError
        If it is no integer from 0 to 2**64 - 1.
    """
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and 0 <= seed < 2**64:
        return int(seed)
    raise InputError(f"seed is {seed!r}; it must be an integer from 0 to 2**64 - 1. Pass for example seed=0.")


def uniform(seed, stream, tick, index, dtype=np.float64):
    """Uniform numbers in [0, 1).

    Parameters
    ----------
    seed, stream, tick, index
        See `words`.
    dtype : numpy.float64 or numpy.float32
        53 or 24 random bits; the two types give different numbers.

    Returns
    -------
    numbers : array of dtype
        Of the shape of `index` (of shape (1,) for a single one).

    Raises
    ------
    InputError
        If the seed is no integer from 0 to 2**64 - 1.
    """
    x0, x1, _, _ = words(seed, stream, tick, index)
    return _unit(x0, x1, dtype)


def normal(seed, stream, tick, index, dtype=np.float64):
    """Normal numbers of mean 0 and variance 1, by Box and Muller's transform.

    Parameters
    ----------
    seed, stream, tick, index
        See `words`.
    dtype : numpy.float64 or numpy.float32
        The two types give different numbers.

    Returns
    -------
    numbers : array of dtype
        Of the shape of `index` (of shape (1,) for a single one).

    Raises
    ------
    InputError
        If the seed is no integer from 0 to 2**64 - 1.
    """
    x0, x1, x2, x3 = words(seed, stream, tick, index)
    real = np.dtype(dtype).type
    # The middles of equal intervals: never 0, whose logarithm is infinite.
    if real is np.float32:
        u = ((x0 >> np.uint64(1)).astype(real) + real(0.5)) * real(2.0**-31)
    else:
        high, low = (x0 >> np.uint64(6)).astype(real), (x1 >> np.uint64(6)).astype(real)
        u = (high * 2.0**26 + (low + 0.5)) * 2.0**-52
    return np.sqrt(real(-2) * np.log(u)) * np.cos(real(2 * np.pi) * _unit(x2, x3, real))


def permutation(seed, stream, epoch, n):
    """A random permutation of 0..n-1 (Fisher and Yates), as the data set's order in one epoch.

    Parameters
    ----------
    seed, stream
        See `words`.
    epoch : int
        Takes the place of the tick.
    n : int
        0 to 2**31 - 1.

    Returns
    -------
    order : int32 array, shape (n,)

    Raises
    ------
    InputError
        If the seed is no integer from 0 to 2**64 - 1.
    """
    bound = np.arange(1, n + 1, dtype=np.uint64)
    x0, x1, _, _ = words(seed, stream, epoch, np.arange(n))
    # The upper half of 64 random bits times (i + 1): 0..i, in integers only.
    partners = ((x0 * bound + ((x1 * bound) >> _HALF)) >> _HALF).tolist()
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = partners[i]
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int32)


def _unit(high, low, dtype):
    """Numbers in [0, 1) from words: 53 bits of two in float64, 24 bits of the first in float32."""
    real = np.dtype(dtype).type
    if real is np.float32:
        return (high >> np.uint64(8)).astype(real) * real(2.0**-24)
    return ((high >> np.uint64(5)).astype(real) * 2.0**26 + (low >> np.uint64(6)).astype(real)) * 2.0**-53


__all__ = ["check_seed", "normal", "permutation", "uniform", "words"]
