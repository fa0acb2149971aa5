"""Quality of parts of the rows, and which of them are worse than the rest by more than chance.

A slice is held against all other rows of its own way to cut. One-sided tests: Fisher's exact one, or where all counts
are large the z-test of two proportions; Holm's correction over all tests of the report. What is said of a slice needs
no scores but those that were counted for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.reference import CLASSES_OF_SLICES, MetricRef
from ortbatch.metrics.slices import Cut
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import NO_ROWS, overall, share
from ortbatch.report.losses import LABELS_ONLY
from ortbatch.report.quality import POSITIVE, ClassCounts, class_counts, class_row

SMALL_ROWS = 50
SIGNIFICANT = 0.05
_LARGE_COUNT = 1_000
_OF_CLASSES = ("class", "support", "predicted", "precision", "recall", "f1")


@dataclass(frozen=True)
class _Share:
    """Hits among trials: of a slice, and of all other rows of its cut."""

    metric: str
    hits: int
    trials: int
    rest_hits: int
    rest_trials: int

    @property
    def difference(self) -> float:
        """Of the slice's share to that of the rest."""
        return self.hits / self.trials - self.rest_hits / self.rest_trials

    def p_value(self) -> float:
        """Probability of so low a share in the slice, or a lower one, if the rest had the same."""
        trials, hits = self.trials + self.rest_trials, self.hits + self.rest_hits
        share, smaller = hits / trials, min(self.trials, self.rest_trials)
        if smaller * min(share, 1 - share) >= _LARGE_COUNT:
            from scipy.special import ndtr

            error = math.sqrt(share * (1 - share) * (1 / self.trials + 1 / self.rest_trials))
            return float(ndtr(self.difference / error))
        from scipy.stats import fisher_exact

        table = [[self.hits, self.trials - self.hits], [self.rest_hits, self.rest_trials - self.rest_hits]]
        return min(1.0, float(fisher_exact(table, alternative="less").pvalue))


@dataclass(frozen=True)
class _Slice:
    """A slice that has rows: its place among all slices, and among those of its cut."""

    cut: Cut
    place: int
    inner: int
    confusion: ConfusionMatrix
    tested: tuple[_Share, ...]


def slices_section(tally: Tally, positive: int | None) -> list[dict[str, Any]]:
    """The `slices` section of a report: those with rows, the significantly worse ones first.

    Args:
        tally: the merged counts.
        positive: index of the positive class of a binary task; None for multiclass.
    """
    slices = list(_slices(tally, positive))
    tests = [(number, test) for number, item in enumerate(slices) for test in item.tested]
    found = holm([test.p_value() for _, test in tests])
    worse: list[list[dict[str, Any]]] = [[] for _ in slices]
    for (number, test), (p_value, adjusted) in zip(tests, found, strict=True):
        if adjusted <= SIGNIFICANT:
            worse[number].append(_worse(test, p_value, adjusted))
    entries = [_entry(tally, item, positive) | {"worse": said} for item, said in zip(slices, worse, strict=True)]
    return sorted(entries, key=lambda entry: min((item["difference"] for item in entry["worse"]), default=0.0))


def holm(p_values: Sequence[float]) -> list[tuple[float, float]]:
    """Each p-value, and adjusted so that at most 0.05 of all reports call any slice worse that is not.

    References:
        Holm (1979), Scandinavian Journal of Statistics 6(2).

    >>> holm([0.01, 0.04, 0.03])
    [(0.01, 0.03), (0.04, 0.06), (0.03, 0.06)]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return list(zip(p_values, adjusted, strict=True))


def _slices(tally: Tally, positive: int | None) -> Iterator[_Slice]:
    """Slices in the order of the cuts, largest first."""
    counts, first = tally.slices, 0
    for cut in counts.cuts:
        matrices = [
            ConfusionMatrix(tally.confusion.classes, counts.confusion.at(place))
            for place in range(first, first + cut.slices)
        ]
        rows = [matrix.rows for matrix in matrices]
        shares = [_shares(matrix, positive) for matrix in matrices]
        for inner in sorted(range(cut.slices), key=lambda place: -rows[place]):
            if not rows[inner]:
                continue
            pooled = inner == len(cut.values)
            tested = () if pooled else tuple(_against_rest(shares, inner))
            yield _Slice(cut, first + inner, inner, matrices[inner], tested)
        first += cut.slices


def _shares(confusion: ConfusionMatrix, positive: int | None) -> dict[str, tuple[int, int]]:
    """Hits and trials of what is tested."""
    shares = {"accuracy": (int(confusion.table.diagonal().sum()), confusion.rows)}
    if positive is not None:
        of = class_counts(confusion)[positive]
        shares |= {"recall": (of.tp, of.tp + of.fn), "precision": (of.tp, of.tp + of.fp)}
    return shares


def _against_rest(shares: Sequence[Mapping[str, tuple[int, int]]], inner: int) -> Iterator[_Share]:
    for metric, (hits, trials) in shares[inner].items():
        rest_hits = sum(other[metric][0] for other in shares) - hits
        rest_trials = sum(other[metric][1] for other in shares) - trials
        if trials and rest_trials:
            yield _Share(metric, hits, trials, rest_hits, rest_trials)


def _worse(test: _Share, p_value: float, adjusted: float) -> dict[str, Any]:
    return {
        "metric": test.metric,
        "value": test.hits / test.trials,
        "rest": test.rest_hits / test.rest_trials,
        "difference": test.difference,
        "p_value": p_value,
        "p_adjusted": adjusted,
    }


def _entry(tally: Tally, item: _Slice, positive: int | None) -> dict[str, Any]:
    confusion, values = item.confusion, item.cut.of(item.inner)
    pooled = {"pooled": item.cut.pooled} if item.inner == len(item.cut.values) else {}
    few_classes = len(confusion.classes) <= CLASSES_OF_SLICES
    of_class = class_counts(confusion) if few_classes else []
    entry: dict[str, Any] = {
        "by": list(item.cut.by),
        "slice": values,
        "name": written(values),
        "rows": confusion.rows,
        "small": confusion.rows < SMALL_ROWS,
        **pooled,
    }
    if positive is None:
        whole = overall(confusion, by_cells=False)
        entry |= {name: whole[name] for name in ("accuracy", "balanced_accuracy", "f1_macro")}
    else:
        row = class_row(confusion.classes[positive], of_class[positive])
        entry["accuracy"] = share(sum(of.tp for of in of_class), confusion.rows, NO_ROWS)
        entry |= {name: row[name] for name in POSITIVE} | _areas(tally, item.place)
    if few_classes:
        entry["per_class"] = [_per_class(*each) for each in zip(confusion.classes, of_class, strict=True)]
    return entry


def _per_class(name: str, counts: ClassCounts) -> dict[str, Any]:
    row = class_row(name, counts)
    return {key: row[key] for key in _OF_CLASSES}


def _areas(tally: Tally, place: int) -> dict[str, Estimate]:
    curve = tally.slices.curve(place)
    if curve is None:
        missing = Estimate.undefined(LABELS_ONLY)
        return {"roc_auc": missing, "average_precision": missing}
    return {"roc_auc": curve.roc_auc(), "average_precision": curve.average_precision()}


def written(values: Mapping[str, str]) -> str:
    """A slice as a reference writes it behind its `@`.

    >>> written({"country": "DE", "device": "(other)"})
    'country=DE,device="(other)"'
    """
    return str(MetricRef("accuracy", slice=tuple(values.items()))).partition("@")[2]
