"""Analysis of results: arrays in, arrays out."""
