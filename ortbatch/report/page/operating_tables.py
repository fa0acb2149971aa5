"""Tables about thresholds, which stand without JavaScript too: what is recommended, what gates may ask, some points.

All numbers are those of the report, none is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.metrics.reference import MetricRef
from ortbatch.report.format import name
from ortbatch.report.page.blocks import Cell, Table, count, estimate, figure, word
from ortbatch.report.thresholds import RECOMMENDED

_POINTS_SHOWN, _POINTS_OF_MANY = 20, 8
_COUNTS = ("tp", "fp", "fn", "tn")
_OUTCOMES = "tp: of the class and called so; fp: called so and not of it; fn: of it and missed; tn: the others."
_OPTIMISTIC = (
    "A threshold that these rows chose looks better on them than it is; the intervals allow for that. "
    "ortbatch thresholds RUN --confirm chooses on one half of the rows and judges on the other. Youden's index is "
    "recall less false positive rate."
)


def recommended_table(curves: Sequence[Mapping[str, Any]]) -> Table:
    """What is asked of a threshold, and the one that does it best; of each class."""
    head = ["class"] * (len(curves) > 1) + ["asked for", "threshold", "precision", "95%", "recall", "95%", "f1", "95%"]
    rows = [
        (*_class(curves, curve), *_pick(asked(rule), pick))
        for curve in curves
        for rule, pick in curve["recommended"].items()
    ]
    return Table("Recommended thresholds", head, rows, len(head) - 7, _OPTIMISTIC, *_size(curves))


def asked(rule: str) -> str:
    """What a rule asks of a threshold, in few words.

    >>> asked("recall_at_precision(0.9)")
    'best recall at precision ≥ 0.9'
    """
    aim = RECOMMENDED.get(rule)
    if aim is None:
        return name(rule)
    if aim.min_precision is not None:
        return f"best recall at precision ≥ {aim.min_precision:g}"
    if aim.min_recall is not None:
        return f"best precision at recall ≥ {aim.min_recall:g}"
    return "best F1" if aim.best == "f1" else "best Youden index"


def operating_table(curves: Sequence[Mapping[str, Any]], positive: str | None) -> Table:
    """Metrics of single points, as gates may ask for them."""
    head = ["class"] * (len(curves) > 1) + ["metric", "value", "95%", "rows"]
    rows = [
        (*_class(curves, curve), word(point["metric"]), *_point(curve["class"], point, positive))
        for curve in curves
        for point in curve["operating_points"]
    ]
    note = "Gates may ask for each of these. * the interval may be too narrow; hover for why."
    return Table("Metrics of operating points", head, rows, len(head) - 3, note, *_size(curves))


def points_table(curves: Sequence[Mapping[str, Any]], threshold: float | None) -> Table:
    """Some of the stored points, by rising threshold, the job's own among them if it is stored."""
    head = ["class"] * (len(curves) > 1) + ["threshold", *_COUNTS, "precision", "recall", "f1", "false positive rate"]
    rows = [
        (*_class(curves, curve), *(_value(curve["points"][key][at], key) for key in _KEYS))
        for curve in curves
        for at in _shown(curve["points"]["threshold"], threshold, _POINTS_OF_MANY if len(curves) > 1 else _POINTS_SHOWN)
    ]
    return Table("Some of the thresholds", head, rows, int(len(curves) > 1), _OUTCOMES, True, len(curves) > 1)


_KEYS = ("threshold", *_COUNTS, "precision", "recall", "f1", "fpr")


def _class(curves: Sequence[Mapping[str, Any]], curve: Mapping[str, Any]) -> list[Cell]:
    return [word(curve["class"])] if len(curves) > 1 else []


def _size(curves: Sequence[object]) -> tuple[bool, bool]:
    """Folded, and with a search field: where there are many classes."""
    return (len(curves) > 1,) * 2


def _pick(goal: str, pick: Mapping[str, Any]) -> Iterator[Cell]:
    if pick["threshold"] is None:
        yield Cell(f"{goal}: {name(pick['reason'], 200)}", tone="dim")
        yield from [Cell("–", tone="dim"), *[Cell("")] * 6]
        return
    yield Cell(goal)
    yield figure(pick["threshold"])
    for metric in ("precision", "recall", "f1"):
        yield from estimate(pick[metric])


def _point(class_name: str, point: Mapping[str, Any], positive: str | None) -> Iterator[Cell]:
    """Its estimate under the name that gates have for it: of the positive class without the class."""
    yield from estimate(
        point["estimate"], point["metric"] if class_name == positive else _key(point["metric"], class_name)
    )
    yield count(point["rows"])


def _key(metric: str, class_name: str) -> str:
    """The name that gates have for it; none for a class whose name no gate can write."""
    try:
        parsed = MetricRef.parse(metric)
        return str(MetricRef(parsed.name, parsed.argument, class_name))
    except ValueError:
        return ""


def _shown(thresholds: Sequence[float], own: float | None, most: int) -> list[int]:
    """Places evenly apart, with both ends and the job's."""
    last = len(thresholds) - 1
    even = {round(step * last / (most - 1)) for step in range(most)}
    return sorted(even | {at for at in range(last + 1) if thresholds[at] == own})


def _value(value: float | None, key: str) -> Cell:
    return count(int(value)) if key in _COUNTS and value is not None else figure(value)
