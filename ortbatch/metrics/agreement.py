"""How often two labels of the same row agree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Rows that were compared, and how many of them agree.

    Raises:
        ValueError: unless 0 <= agreeing <= rows.
    """

    rows: int = 0
    agreeing: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.agreeing <= self.rows:
            raise ValueError(f"expected 0 <= agreeing <= rows, got {self.agreeing} of {self.rows}")

    @classmethod
    def empty(cls) -> Agreement:
        """No rows yet."""
        return cls()

    def merge(self, other: Agreement) -> Agreement:
        """Rows of both."""
        return Agreement(self.rows + other.rows, self.agreeing + other.agreeing)

    def without(self, other: Agreement) -> Agreement:
        """Rows of this but those of `other`, which are some of them; raises ValueError if they are not."""
        return Agreement(self.rows - other.rows, self.agreeing - other.agreeing)

    @property
    def disagreeing(self) -> int:
        """Rows whose labels differ."""
        return self.rows - self.agreeing
