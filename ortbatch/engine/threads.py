"""Threads of a session in the pass."""

THREADS = 1
"""Results must not depend on the cores of a machine; streams make use of them."""
