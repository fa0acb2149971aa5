"""Score counts as a report keeps them: what any question about thresholds is answered from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ortbatch.metrics.operating import Steps
from ortbatch.metrics.operating_metrics import point
from ortbatch.metrics.reference import MetricRef
from ortbatch.metrics.resample import Resample
from ortbatch.metrics.value import Counts
from ortbatch.report.encode import plain
from ortbatch.report.thresholds import COLUMNS


@dataclass(frozen=True, eq=False)
class StoredScores:
    """One class against the rest.

    Args:
        class_name: of the class.
        bins: of the histogram.
        cells: int64[n], cells with rows, rising.
        counts: int64[2, 2, n]: half of the rows, truth (0 = rest, 1 = the class), cell.
        section: the curve as the report has it.
    """

    class_name: str
    bins: int
    cells: Counts
    counts: Counts
    section: Mapping[str, Any]

    def steps(self, half: int | None = None) -> Steps:
        """Of all rows, or of one half of them."""
        rest, own = self.counts.sum(axis=0) if half is None else self.counts[half]
        held = np.flatnonzero(rest + own)
        return Steps(self.bins, self.cells[held], rest[held], own[held])


def stored_scores(report: Mapping[str, Any], class_name: str | None) -> StoredScores | str:
    """Scores of a class in a decoded report, or why there are none.

    Args:
        report: decoded.
        class_name: None for the positive class of a binary report.
    """
    quality = report["quality"]
    if "thresholds" not in report:
        return f"the report has no score curves: {quality['roc_auc'].get('reason') or 'they were not kept'}"
    curves = report["thresholds"]["curves"]
    names = [curve["class"] for curve in curves]
    if class_name is None and len(curves) > 1:
        return f"say of which class; its classes are {', '.join(names)}"
    curve = curves[0] if class_name is None else next((c for c in curves if c["class"] == class_name), None)
    if curve is None:
        kept = f"curves are kept for the positive class, `{names[0]}`"
        known = kept if class_name in quality["classes"] else f"it has those of {', '.join(names)}"
        return f"the report has no score curve of class `{class_name}`; {known}"
    histogram = curve["histogram"]
    counts = np.array([histogram[name] for name in COLUMNS], np.int64)
    cells = np.array(histogram["cell"], np.int64)
    return StoredScores(curve["class"], curve["bins"], cells, counts.reshape(2, 2, -1), curve)


def operating_point(ref: MetricRef, report: Mapping[str, Any]) -> tuple[Mapping[str, Any], int] | str:
    """A metric of an operating point as a decoded estimate, with the rows that it is a share of; or why there is none.

    One that the report shows is taken from there; any other is computed from its scores, as the run would have done.
    """
    stored = stored_scores(report, ref.class_name)
    if isinstance(stored, str):
        return stored
    name = str(MetricRef(ref.name, ref.argument))
    for shown in stored.section["operating_points"]:
        if shown["metric"] == name:
            return shown["estimate"], shown["rows"]
    steps = stored.steps()
    found = point(ref, steps, Resample.of(steps))
    return plain(found.estimate), found.rows
