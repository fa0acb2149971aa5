"""What became of every planned row. Nothing is dropped without being counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Coverage:
    """Rows by fate; `planned == evaluated + unlabelled + filtered + rejected` holds for every value of this type.

    Args:
        planned: rows that the plan promised.
        evaluated: rows in the confusion matrix.
        unlabelled: rows scored without a label.
        filtered: rows left out by the job's filter.
        rejected_rows: (file index of the plan, reason) → rows.

    Raises:
        ValueError: if the rows do not add up, or a count is negative.
    """

    planned: int = 0
    evaluated: int = 0
    unlabelled: int = 0
    filtered: int = 0
    rejected_rows: Mapping[tuple[int, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = (self.evaluated, self.unlabelled, self.filtered, *self.rejected_rows.values())
        if self.planned != sum(parts) or min(self.planned, *parts) < 0:
            raise ValueError(f"rows do not add up: {self}")
        # A copy, so that the caller cannot change this value; without zeros, so that equal rows are equal values.
        object.__setattr__(self, "rejected_rows", {key: rows for key, rows in self.rejected_rows.items() if rows})

    @classmethod
    def empty(cls) -> Coverage:
        """No rows yet."""
        return cls()

    def merge(self, other: Coverage) -> Coverage:
        """Rows of both."""
        rejected = Counter(self.rejected_rows)
        rejected.update(other.rejected_rows)
        return Coverage(
            self.planned + other.planned,
            self.evaluated + other.evaluated,
            self.unlabelled + other.unlabelled,
            self.filtered + other.filtered,
            dict(rejected),
        )

    def without(self, other: Coverage) -> Coverage:
        """Rows of this but those of `other`, which are some of them; raises ValueError if they are not."""
        rejected = Counter(self.rejected_rows)
        rejected.subtract(other.rejected_rows)
        return Coverage(
            self.planned - other.planned,
            self.evaluated - other.evaluated,
            self.unlabelled - other.unlabelled,
            self.filtered - other.filtered,
            dict(rejected),
        )

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected rows by reason, reasons sorted."""
        total: Counter[str] = Counter()
        for (_, reason), rows in self.rejected_rows.items():
            total[reason] += rows
        return dict(sorted(total.items()))

    @property
    def rejected_files(self) -> dict[int, int]:
        """Rejected rows by file index of the plan, most first."""
        total: Counter[int] = Counter()
        for (file, _), rows in self.rejected_rows.items():
            total[file] += rows
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    @property
    def bad_rows(self) -> int:
        """All rejected rows."""
        return sum(self.rejected_rows.values())
