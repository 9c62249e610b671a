"""Brian2's look-ups of what it has parsed before, made cheap while a simulation is built."""

from __future__ import annotations

from contextlib import contextmanager

from brian2.utils import caching


@contextmanager
def variables_hashed_once():
    """Let Brian2 hash each variable once, not anew for every statement that it looks up.

    It keys what it has parsed by the state of all variables of a group, about a hundred: a third of the time that it
    takes to generate the code. The keys stay the same; nothing changes a variable while code is generated. Afterwards
    Brian2 hashes as ever.
    """
    full, known = getattr(caching, "_hashable", None), {}
    if full is None:  # a later Brian2 that does it in another way
        yield
        return

    def hashable(obj):
        if type(obj) is str:  # most of what there is: the names
            return obj
        if not hasattr(type(obj), "_state_tuple"):
            return full(obj)
        if id(obj) not in known:
            known[id(obj)] = obj, full(obj)  # with the object, which keeps its id from being used again
        return known[id(obj)][1]

    caching._hashable = hashable
    try:
        yield
    finally:
        caching._hashable = full
