"""The section on thresholds: curves, and a slider that moves along them.

The script gets the counts of the stored points and does on them what report.json's definitions say; which thresholds
there are, and how many rows each calls what, is decided here. Without JavaScript the curves and the tables remain.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ortbatch.metrics.intervals import CONFIDENCE, normal_quantile
from ortbatch.metrics.operating import Aim
from ortbatch.report.format import name, number
from ortbatch.report.page.blocks import Block, Fragment, Section, Sentence
from ortbatch.report.page.curve_charts import HEIGHT, WIDTH, pictures, scores_figure
from ortbatch.report.page.operating_tables import asked, operating_table, points_table, recommended_table
from ortbatch.report.thresholds import RECOMMENDED

_COUNTS = ("tp", "fp", "fn", "tn")
_CLASS_CHARACTERS = 60


def thresholds(report: Mapping[str, Any]) -> Section | None:
    """What each threshold would do, where score curves are kept."""
    section = report.get("thresholds")
    if section is None:
        return None
    curves, threshold = section["curves"], section["threshold"]
    own = None if threshold is None else {"threshold": threshold, **own_outcomes(report), **_own_rates(report)}
    scores = scores_figure(curves[0]) if len(curves) == 1 else None
    values = {
        "data": _data(curves, own, scores[1] if scores else None),
        "pictures": list(pictures(curves, own)),
        "scores": scores[0] if scores else None,
        "names": [name(curve["class"], _CLASS_CHARACTERS) for curve in curves],
        "rules": {rule: asked(rule) for rule in curves[0]["recommended"]},
        "own": None if threshold is None else number(threshold),
        "width": WIDTH,
        "height": HEIGHT,
    }
    blocks: list[Block] = [
        Sentence(_opening(curves, threshold)),
        Fragment("explorer.html", values),
        recommended_table(curves),
        operating_table(curves, report["quality"].get("positive")),
        points_table(curves, threshold),
    ]
    return Section("thresholds", "Thresholds", blocks)


def _opening(curves: Sequence[Mapping[str, Any]], threshold: float | None) -> str:
    """What is shown, and how to read it."""
    if threshold is None:
        return (
            "What if a row were called of a class as soon as the class's score reaches a threshold? Of each class "
            "against the rest: precision is the share of the called rows that are right, recall the share of the "
            "class's rows that are found. The model itself predicts the class of largest score."
        )
    called = name(curves[0]["class"], _CLASS_CHARACTERS)
    return (
        f"A row is called {called} if its score is at least the threshold. A higher threshold calls fewer rows: "
        "precision, the share of the called rows that are right, mostly rises, and recall, the share of the class's "
        f"rows that are found, falls. The diamond is the job's threshold, {number(threshold)}."
    )


def own_outcomes(report: Mapping[str, Any]) -> dict[str, int]:
    """tp, fp, fn and tn at the job's threshold, as the run counted them row by row."""
    quality, counts = report["quality"], report["confusion_matrix"]["counts"]
    own = quality["classes"].index(quality["positive"])
    rest = 1 - own
    return {"tp": counts[own][own], "fp": counts[rest][own], "fn": counts[own][rest], "tn": counts[rest][rest]}


def _own_rates(report: Mapping[str, Any]) -> dict[str, float | None]:
    """Where the job's threshold lies on the curves."""
    quality, outcomes = report["quality"], own_outcomes(report)
    rest = outcomes["fp"] + outcomes["tn"]
    return {
        "precision": quality["precision"]["value"],
        "recall": quality["recall"]["value"],
        "fpr": outcomes["fp"] / rest if rest else None,
    }


def _data(
    curves: Sequence[Mapping[str, Any]], own: Mapping[str, Any] | None, ends: tuple[float, float] | None
) -> dict[str, Any]:  # fmt: skip
    """What the script knows: `z` of Wilson's intervals, the ends of the picture of scores, and each curve."""
    return {
        "z": normal_quantile(CONFIDENCE),
        "ends": ends,
        "binary": own is not None,
        "curves": [_curve(curve, own, several=len(curves) > 1) for curve in curves],
    }


def _curve(curve: Mapping[str, Any], own: Mapping[str, Any] | None, *, several: bool) -> dict[str, Any]:
    """Points by rising threshold, the job's own among them, and the thresholds that the buttons go to."""
    points = {key: list(curve["points"][key]) for key in ("threshold", *_COUNTS)}
    if own is not None and own["threshold"] not in points["threshold"]:
        place = sum(threshold < own["threshold"] for threshold in points["threshold"])
        for key, column in points.items():
            column.insert(place, own[key])
    picks = {rule: pick["threshold"] for rule, pick in curve["recommended"].items()}
    class_option = _class_option(curve["class"]) if several else ""
    return {
        "name": name(curve["class"], _CLASS_CHARACTERS),
        "points": points,
        "own": None if own is None else own["threshold"],
        "start": own["threshold"] if own is not None else picks.get("best_f1"),
        "picks": picks,
        "command": f"ortbatch thresholds RUN{class_option}",
        "options": {rule: option for rule in picks if (option := _option(RECOMMENDED.get(rule))) is not None},
    }


def _class_option(class_name: str) -> str:
    """As a shell takes it; a word to be filled in for what cannot be shown as it is."""
    shown = shlex.quote(class_name) if name(class_name, 200) == class_name else "CLASS"
    return f" --class {shown}"


def _option(aim: Aim | None) -> str | None:
    """What asks `ortbatch thresholds` for the same; None where nothing does."""
    if aim is None or aim.best == "youden":
        return None
    if aim.min_precision is not None:
        return f" --min-precision {aim.min_precision!r}"
    return f" --min-recall {aim.min_recall!r}" if aim.min_recall is not None else ""
