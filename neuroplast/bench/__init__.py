"""Benchmarks: the online RFLO step against native Brian2, numpy and JAX, and the time that a start takes."""
