"""How good the model is on all rows: every metric with its interval, how that was found, and when to doubt it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.metrics.reference import bounds, lower_is_better
from ortbatch.report.encode import is_estimate
from ortbatch.report.format import interval, name
from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table
from ortbatch.report.page.doubts import doubts, starred
from ortbatch.report.page.forest import Dot, beside, forest

_MAJORITY = "majority_class_accuracy"
_METHODS = {
    "wilson": "Wilson's score interval of a share",
    "wilson_f1": "Wilson's interval of tp / (tp + fp + fn), carried to F1",
    "wilson_all_alike": "Wilson's interval: all rows are right, or all are wrong",
    "wilson_perfect": "Wilson's interval of the smaller class: the order is perfect",
    "jeffreys_logit": "delta method on the shares of the classes, logit scale",
    "delta_logit": "delta method on the cells of the confusion matrix, logit scale",
    "delta_fisher": "delta method on the cells of the confusion matrix, Fisher's z scale",
    "delong_logit": "DeLong's variance, logit scale",
    "influence_logit": "variance of the influence function, logit scale",
    "mean_of_limits": "mean of the limits of the classes; rather too wide than too narrow",
    "normal": "central limit theorem",
}
_BINS = "Proven by the bins: scores are counted in bins, and the value of the raw scores lies between these two."
Found = Sequence[tuple[str, Mapping[str, Any]]]


def quality(report: Mapping[str, Any]) -> Section:
    """Metrics of all rows."""
    section = report["quality"]
    found = [(metric, item) for metric, item in section.items() if is_estimate(item)]
    intro = Sentence(
        f"Metrics of all {section['rows']:,} evaluated rows, named as in scikit-learn. The 95% interval says where the "
        "value for all rows of this kind may lie, if rows do not depend on each other."
    )
    blocks: list[Block] = [intro, _baseline(section), *_own_label(section), *_picture(found, _all(found, section))]
    return Section("quality", "Quality", [*blocks, *doubts(found), _methods(found)])


def _baseline(section: Mapping[str, Any]) -> Table:
    """Accuracy beside that of always answering the largest class."""
    largest = max(section["per_class"], key=lambda row: row["support"])["class"]
    always = Cell(f"always answering {name(largest, 60)}", more=name(largest, 1_000))
    rows = [
        (Cell("this model"), *starred(section["accuracy"], "accuracy")),
        (always, *starred(section[_MAJORITY], _MAJORITY)),
    ]
    return Table("Accuracy, beside that of always giving the most frequent answer", _HEAD, rows)


_HEAD = ("accuracy of", "value", "95% interval")


def _own_label(section: Mapping[str, Any]) -> Iterator[Block]:
    """What the model itself answers, if it does."""
    if (own := section.get("own_label")) is not None:
        yield Sentence(
            f"The model puts out a label of its own: it differs from the prediction, which follows from scores and "
            f"threshold, in {own['disagreements']:,} of {own['rows']:,} rows.",
            "doubt" if own["disagreements"] else "",
        )


def _all(found: Found, section: Mapping[str, Any]) -> Table:
    bins = any("bound" in item for _, item in found)
    positive = section.get("positive")
    whose = (
        "" if positive is None else f"Precision, recall, f1, specificity and areas are those of {name(positive, 60)}. "
    )
    return Table(
        "All metrics",
        ("metric", "value", "95% interval", *(["proven by the bins"] if bins else [])),
        [_row(metric, item, bins) for metric, item in found],
        note=whose + (_BINS if bins else ""),
    )


def _row(metric: str, item: Mapping[str, Any], bins: bool) -> tuple[Cell, ...]:
    lower = " (lower is better)" if lower_is_better(metric) else ""
    return Cell(metric + lower), *starred(item, metric), *([Cell(interval(item.get("bound")))] if bins else [])


def _picture(found: Found, table: Table) -> Iterator[Block]:
    """Those from 0 to 1 of which more is better, drawn beside the table of all; the table alone if there are none."""
    shown = [(metric, item) for metric, item in found if metric != _MAJORITY and _is_drawn(metric, item)]
    if not shown:
        yield table
        return
    dots = [Dot(line, metric, item["value"], item["ci"]) for line, (metric, item) in enumerate(shown)]
    alt = f"{len(dots)} metrics as dots with their 95% intervals; the numbers stand in the table of all metrics."
    yield beside("Metrics with 95% intervals, higher is better", forest(dots, "value", alt), table)


def _is_drawn(metric: str, item: Mapping[str, Any]) -> bool:
    return item["value"] is not None and bounds(metric) == (0.0, 1.0) and not lower_is_better(metric)


def _methods(found: Found) -> Table:
    """How the intervals are found, with the metrics of each way."""
    by_method: dict[str, list[str]] = {}
    for metric, item in found:
        if "method" in item:
            by_method.setdefault(item["method"], []).append(metric)
    rows = [(Cell(_METHODS.get(method, method)), Cell(", ".join(names))) for method, names in by_method.items()]
    return Table("How the intervals are found", ("method", "of"), rows, texts=2, folded=True)
