"""Benchmarks: ortbatch against the ways in which people do the same by hand; see README.md."""
