"""The batch size that `auto` means: a rule, and which other sizes are tried against it on real rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_BATCH_BYTES = 256 << 10
_BATCH_BYTES_BY_COLUMNS = 512 << 10
_LARGEST = 8_192
_MOST_SCORES = 1 << 20
_LADDER_BYTES = (32 << 10, 2 << 20)
_LADDER_LARGEST = 65_536
_LADDER_SCORES = 1 << 16
_BETTER_BY = 1.03


@dataclass(frozen=True)
class Rung:
    """A batch size that was tried.

    Args:
        rows: rows of a batch.
        rows_per_s: the best of its timings, all streams together; None if it was not timed.
        same_scores: did the rows that were tried get the same bits as at the rule's size?
    """

    rows: int
    rows_per_s: float | None
    same_scores: bool


@dataclass(frozen=True)
class Tuning:
    """How a batch size was found.

    Args:
        why: in words.
        rungs: sizes that were tried, rising; none if there was no tuning.
        seconds: time that it took.
        streams: streams that were timed at once.
    """

    why: str
    rungs: tuple[Rung, ...] = ()
    seconds: float = 0.0
    streams: int = 0


def batch_size_for(row_bytes: int, *, by_columns: bool = False) -> int:
    """Rows whose inputs fill 256 KiB, or 512 KiB by columns, rounded down to a power of two, from 1 to 8,192.

    A function of one row's inputs, so that it is the same on every machine. 256 KiB stay in a core's cache: an MLP of
    32 floats runs best at 1,024 to 4,096 rows, a CNN of 784 floats at 64. By columns each copy is of one column's rows,
    and gains from more of them.

    >>> batch_size_for(32 * 4), batch_size_for(32 * 4, by_columns=True), batch_size_for(784 * 4)
    (2048, 4096, 64)
    """
    size = _BATCH_BYTES_BY_COLUMNS if by_columns else _BATCH_BYTES
    return _power_of_two(min(_LARGEST, size // max(1, row_bytes)))


def most_rows_for(classes: int) -> int:
    """Rows of a batch whose scores are a million at most, a power of two.

    >>> most_rows_for(2), most_rows_for(10_000)
    (524288, 64)
    """
    return _power_of_two(_MOST_SCORES // classes)


def ladder(row_bytes: int, classes: int, rule: int) -> tuple[int, ...]:
    """Batch sizes to choose from, rising: powers of two with 32 KiB to 2 MiB of inputs, at most 65,536 rows.

    Args:
        row_bytes: of one row's inputs.
        classes: scores of a row; beyond the rule's size at most 65,536 scores a batch, as many as are counted at once.
        rule: the size that stands if no other is better, a power of two.

    >>> ladder(784 * 4, 10, 64)
    (8, 16, 32, 64, 128, 256, 512)
    """
    low, high = (_power_of_two(size // max(1, row_bytes)) for size in _LADDER_BYTES)
    high = max(rule, min(high, _LADDER_LARGEST, _power_of_two(_LADDER_SCORES // classes)))
    return tuple(1 << power for power in range(min(low, high, rule).bit_length() - 1, high.bit_length()))


def chosen(rule: int, rungs: Sequence[Rung]) -> int:
    """The fastest size with the same scores if it is more than 3% faster than the rule's, else the rule's.

    >>> chosen(64, [Rung(64, 100.0, True), Rung(128, 103.0, True), Rung(256, 200.0, False)])
    64
    """
    rates = {rung.rows: rung.rows_per_s for rung in rungs if rung.same_scores and rung.rows_per_s is not None}
    if rule not in rates:
        return rule
    best = max(rates, key=lambda rows: rates[rows])
    return best if rates[best] > _BETTER_BY * rates[rule] else rule


def _power_of_two(rows: int) -> int:
    """The largest power of two of at most so many rows; 1 for none."""
    return 1 << (max(1, rows).bit_length() - 1)
