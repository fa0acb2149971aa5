"""What a run of the benchmarks found: medians over the repeats, rates, and what is wrong with them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.contract import Settings
from benchmarks.gates import LIMIT, Verdict, judge
from benchmarks.limit import Limit
from benchmarks.process import Outcome

REFERENCE = "loop"


@dataclass
class Measured:
    """One workload.

    Args:
        rows: of the table.
        outcomes: contender → its runs. settings: of the tuned ones. limits: name → its measurements.
        failed: contender → why it has no outcome, or one too few.
    """

    rows: int
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)
    limits: dict[str, list[Limit]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def rates(self) -> dict[str, float]:
        """Contender or `limit:NAME` → median of steady rows a second."""
        steady = {name: statistics.median(o.rows / o.steady_s for o in runs) for name, runs in self.outcomes.items()}
        limits = {
            f"{LIMIT}{name}": statistics.median(limit.rows_per_s for limit in runs)
            for name, runs in self.limits.items()
        }
        return steady | limits

    def whole(self) -> dict[str, float]:
        """Contender → median of rows a second of the whole command."""
        return {name: statistics.median(o.rows / o.total_s for o in runs) for name, runs in self.outcomes.items()}

    def peaks(self) -> dict[str, int]:
        """Contender → most memory of any run, bytes."""
        return {name: max(o.peak_rss_bytes for o in runs) for name, runs in self.outcomes.items()}

    def mismatches(self) -> list[str]:
        """Contenders whose confusion matrix is not the plain loop's (without it: that of the first), or lacks rows."""
        reference = REFERENCE if REFERENCE in self.outcomes else next(iter(self.outcomes), REFERENCE)
        wrong = []
        for name, runs in self.outcomes.items():
            expected = self.outcomes[reference][0]
            for run in runs:
                if (run.rows, run.confusion) != (self.rows, expected.confusion):
                    wrong.append(
                        f"{name}: {run.rows:,} rows, accuracy {run.accuracy:.6f}, matrix {run.confusion[:12]}; "
                        f"{reference} has {self.rows:,} rows, {expected.accuracy:.6f}, {expected.confusion[:12]}"
                    )
        return list(dict.fromkeys(wrong))


def verdicts_of(measured: Mapping[str, Measured]) -> list[Verdict]:
    """All gates."""
    steady = {name: found.rates() for name, found in measured.items()}
    return judge(steady, {name: found.whole() for name, found in measured.items()})


def as_json(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """All figures, with the verdicts of the gates."""
    workloads = {
        name: {
            "rows": found.rows,
            "rows_per_s": found.rates(),
            "whole_rows_per_s": found.whole(),
            "peak_rss_bytes": found.peaks(),
            "settings": {peer: asdict(settings) for peer, settings in found.settings.items()},
            "runs": {peer: [asdict(outcome) for outcome in runs] for peer, runs in found.outcomes.items()},
            "limits": {limit: [asdict(one) for one in runs] for limit, runs in found.limits.items()},
            "failed": found.failed,
            "mismatches": found.mismatches(),
        }
        for name, found in measured.items()
    }
    verdicts = verdicts_of(measured)
    gates = [
        {
            **asdict(verdict.gate),
            "ratio": verdict.ratio,
            "limit": verdict.limit,
            "missed": verdict.missed,
            "out_of_reach": verdict.out_of_reach,
        }
        for verdict in verdicts
    ]
    return {"schema_version": 1, "workloads": workloads, "gates": gates}
