"""Where the time of a pass went, summed over all streams."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class StageTimes:
    """Nanoseconds of each stage: read Parquet, prepare the model's input, run the session, tally, wait for work."""

    read: int = 0
    prepare: int = 0
    infer: int = 0
    tally: int = 0
    wait: int = 0

    @classmethod
    def empty(cls) -> StageTimes:
        """No time yet."""
        return cls()

    def merge(self, other: StageTimes) -> StageTimes:
        """Time of both."""
        return StageTimes(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def seconds(self) -> dict[str, float]:
        """Stage → seconds."""
        return {f.name: getattr(self, f.name) / 1e9 for f in fields(self)}
