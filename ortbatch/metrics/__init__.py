"""Values that merge: everything a worker learns about rows.

Each value is a frozen dataclass of integers with `empty`, `of`, `merge` and a result; merging is associative and
commutative, exact to the last bit, and never changes its operands. Knows neither models, files nor Ray.
"""
