"""How far the rows, or the scores, of one run are from those of the run before: two distances of two histograms.

Both are told for the class balance (a bin a class) and for the distribution of scores, whose bins are the tenths of the
older run. Neither is a test: on n rows each, PSI is about 2 (bins - 1) / n though nothing has changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.value import Counts

TENTHS = 10
HALF_A_ROW = 0.5
"""What is added to each bin of both, so that an empty one has a logarithm."""


def stability_index(older: Counts, newer: Counts) -> float | None:
    """Population stability index Σ (q - p) ln(q / p) of the shares p, q of each bin; None without rows on one side.

    Half a row is added to each bin of both.

    Args:
        older: int64[K] rows by bin.
        newer: int64[K].

    References:
        Siddiqi (2006), Credit Risk Scorecards, chapter 9; Yurdakul (2018), Statistical Properties of Population
        Stability Index (its size where nothing changed).

    >>> round(stability_index(np.array([50, 50]), np.array([80, 20])), 3)
    0.406
    """
    if not older.sum() or not newer.sum():
        return None
    p, q = (_shares(counts + HALF_A_ROW) for counts in (older, newer))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(older: Counts, newer: Counts) -> float | None:
    """Jensen-Shannon distance: root of the divergence with base 2 logarithms, 0 to 1; None without rows on one side.

    References:
        Lin (1991), IEEE Transactions on Information Theory 37(1); Endres & Schindelin (2003), same journal, 49(7) (its
        root is a metric).

    >>> jensen_shannon(np.array([7, 0]), np.array([0, 9]))
    1.0
    """
    if not older.sum() or not newer.sum():
        return None
    p, q = _shares(older), _shares(newer)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return math.sqrt(min(1.0, max(0.0, divergence)))


def _shares(counts: NDArray[Any]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    there = p > 0
    return float((p[there] * np.log2(p[there] / q[there])).sum())


def tenths(older: Mapping[str, Any], newer: Mapping[str, Any]) -> tuple[Counts, Counts]:
    """Two histograms of scores in ten bins: a cell belongs to the tenth of the older rows that its middle row is in.

    So cells that only the newer run fills fall between their neighbours, and a cell that holds most of the older rows
    does not share its bin with all that lies below it.

    Args:
        older: `cell`, int64[K] rising, and `rows`, int64[K].
        newer: likewise.
    """
    below = np.concatenate([[0], np.cumsum(older["rows"])])
    place = np.searchsorted(older["cell"], newer["cell"])
    there = np.append(older["cell"], -1)[place] == newer["cell"]
    same = np.where(there, np.append(older["rows"], 0)[place], 0)
    one = _in_tenths(below[:-1] + older["rows"] / 2, int(below[-1]), older["rows"])
    return one, _in_tenths(below[place] + same / 2, int(below[-1]), newer["rows"])


def _in_tenths(middle: NDArray[np.float64], total: int, rows: Counts) -> Counts:
    bins = np.minimum((middle / max(1, total) * TENTHS).astype(np.int64), TENTHS - 1)
    counts: Counts = np.bincount(bins, rows, minlength=TENTHS).astype(np.int64)
    return counts


def scores_of(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Class → bins of its score histogram, `cell` and `rows` of those that are filled; empty without scores.

    The one place that knows how a report keeps its score counts.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for curve in (report.get("thresholds") or {}).get("curves", []):
        histogram = curve["histogram"]
        columns = [histogram[f"{kind}_{half}"] for kind in ("negative", "positive") for half in (0, 1)]
        rows = sum(np.asarray(column, np.int64) for column in columns)
        found[curve["class"]] = {"bins": curve["bins"], "cell": np.asarray(histogram["cell"], np.int64), "rows": rows}
    return found


def drift(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Distances of two decoded reports: `class_balance` and `scores`, each `{psi, js}` or null with a reason.

    With several score curves the one that moved farthest is told, with its class.
    """
    return drift_of(Shape.of(older), Shape.of(newer))


@dataclass(frozen=True)
class Shape:
    """What drifts.

    Args:
        support: rows of each class.
        scores: as `scores_of`.
    """

    support: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Shape:
        """Of a decoded report."""
        return cls({row["class"]: row["support"] for row in report["quality"]["per_class"]}, scores_of(report))


def drift_of(older: Shape, newer: Shape) -> dict[str, Any]:
    """As `drift`."""
    return {"class_balance": _balance(older.support, newer.support), "scores": _scores(older.scores, newer.scores)}


def _balance(older: Mapping[str, int], newer: Mapping[str, int]) -> dict[str, Any]:
    classes = list(dict.fromkeys([*older, *newer]))
    one, other = (np.array([side.get(name, 0) for name in classes], np.int64) for side in (older, newer))
    return _distances(one, other)


def _scores(one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    shared = [name for name in one if name in other and one[name]["bins"] == other[name]["bins"]]
    if not shared:
        whose = [told for told, side in (("older", one), ("newer", other)) if not side]
        why = f"the {' and the '.join(whose)} run keeps no scores" if whose else "no score curve is of the same class"
        return {"psi": None, "js": None, "reason": why}
    found = [{**_distances(*tenths(one[name], other[name])), "class": name} for name in shared]
    return max(found, key=lambda each: -1.0 if each["psi"] is None else each["psi"])


def _distances(older: Counts, newer: Counts) -> dict[str, Any]:
    psi = stability_index(older, newer)
    if psi is None:
        return {"psi": None, "js": None, "reason": "one of the two has no rows"}
    return {"psi": psi, "js": jensen_shannon(older, newer)}
