"""What must hold of a run's medians, at scale 1 only: ratios of two rates of one run, never rows a second alone.

A ratio to a peer that the limit of the same run does not reach itself is out of reach of anything that decodes these
files and runs this model; it is told, and not missed. What is left to judge there is the share of the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LIMIT = "limit:"


@dataclass(frozen=True)
class Gate:
    """rate(contender) / rate(versus) >= least on a workload; `limit:NAME` is a limit.

    The rate is the steady one, or with `whole` that of the whole command, start-up and all.
    """

    workload: str
    contender: str
    versus: str
    least: float
    whole: bool = False


@dataclass(frozen=True)
class Verdict:
    """A gate with what was measured; None: one of the two was not.

    Args:
        gate: what must hold.
        ratio: what was measured.
        limit: the same ratio of the best limit of the run; None for a ratio to a limit, or without one.
    """

    gate: Gate
    ratio: float | None
    limit: float | None = None

    @property
    def out_of_reach(self) -> bool:
        """Too much for the limit itself."""
        return self.limit is not None and self.limit < self.gate.least

    @property
    def missed(self) -> bool:
        """Measured, within reach and too small."""
        return self.ratio is not None and self.ratio < self.gate.least and not self.out_of_reach

    def __str__(self) -> str:
        gate = self.gate
        what = f"{gate.workload}, whole command" if gate.whole else gate.workload
        asked = f"{what}: {gate.contender} >= {gate.least:g} × {gate.versus}"
        if self.ratio is None:
            return f"{asked}: not measured"
        limit = f"; the limit is {self.limit:.2f}" if self.limit is not None else ""
        return f"{asked}: {self.ratio:.2f} ({self.ratio / gate.least - 1:+.0%}{limit})"


_INLINE, _RAY = "ortbatch-inline", "ortbatch-ray"
_NAIVE, _OWN = "limit:naive", "limit:own"

GATES = (
    Gate("tabular", _INLINE, "loop", 4.5),
    Gate("tabular", _INLINE, "raydata", 11),
    Gate("tabular", _INLINE, "daft", 5.5),
    Gate("tabular", _INLINE, "pyspark", 20),
    Gate("tabular", _INLINE, _NAIVE, 1.0),
    Gate("tabular", _INLINE, _OWN, 0.85),
    Gate("tabular", _RAY, "raydata", 3.5, whole=True),
    Gate("tabular", _RAY, "loop", 1.0, whole=True),
    Gate("tabular", _INLINE, "loop", 3, whole=True),
    Gate("image", _INLINE, _NAIVE, 0.85),
    Gate("image", _INLINE, "loop", 1.15),
    Gate("image", _INLINE, "raydata", 4),
    Gate("heavy", _INLINE, _NAIVE, 0.97),
    Gate("null", _INLINE, _NAIVE, 0.85),
    *(Gate(workload, _RAY, _INLINE, 0.9) for workload in ("tabular", "image", "heavy", "null")),
)


def judge(
    steady: Mapping[str, Mapping[str, float]], whole: Mapping[str, Mapping[str, float]]
) -> list[Verdict]:  # fmt: skip
    """Every gate.

    Args:
        steady: workload → contender or `limit:NAME` → rows a second.
        whole: workload → contender → rows a second of the whole command.
    """
    return [_verdict(gate, (whole if gate.whole else steady).get(gate.workload, {})) for gate in GATES]


def _verdict(gate: Gate, rates: Mapping[str, float]) -> Verdict:
    limits = [rate for name, rate in rates.items() if name.startswith(LIMIT)]
    against_peer = limits and not gate.versus.startswith(LIMIT) and gate.versus in rates
    return Verdict(gate, _ratio(rates, gate), max(limits) / rates[gate.versus] if against_peer else None)


def _ratio(rates: Mapping[str, float], gate: Gate) -> float | None:
    if gate.contender not in rates or gate.versus not in rates:
        return None
    return rates[gate.contender] / rates[gate.versus]
