"""Which column is likely to hold the label: candidates, the likeliest first, each with its reasons.

A name says most, then values that are names or places of the model's classes. A column that feeds the model by its
name, whose values are all different, or that holds lists or fractions, is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ortbatch.data.columns import decoded, family, is_text
from ortbatch.draft.sight import Column, Sight

_NAMES = {
    name: 100 - place
    for place, name in enumerate(
        ("label", "labels", "target", "y", "class", "truth", "groundtruth", "ytrue", "truelabel", "outcome", "category")
    )
}
_PARTS = re.compile(r"(^|_)(label|target|class|truth|y)(_|$)")
_MOST_CLASSES = 1_000
_FEW = 20


@dataclass(frozen=True)
class LabelCandidate:
    """A column that may hold the label.

    Args:
        column: it.
        points: how likely; only good for an order.
        why: the reasons, in words.
        named: does its name say so?
    """

    column: Column
    points: int
    why: tuple[str, ...]
    named: bool = False


def label_candidates(sight: Sight, classes: Sequence[str] | None, outputs: int | None) -> list[LabelCandidate]:
    """Columns that may hold the label, the likeliest first.

    Args:
        sight: what there is.
        classes: names that the model gives its classes; None if it names none.
        outputs: number of classes that it scores; None if that is not known.
    """
    fed = {spec.name for spec in sight.inputs}
    found = []
    for column in sight.columns.values():
        if column.name not in fed and column.holds_labels and column.values is not None and column.distinct:
            found.append(_judged(column, sight, classes, outputs))
    likely = [candidate for candidate in found if candidate.points > 0 or candidate.named]
    return sorted(likely, key=lambda candidate: -candidate.points)


def _judged(
    column: Column, sight: Sight, classes: Sequence[str] | None, outputs: int | None
) -> LabelCandidate:  # fmt: skip
    points, why = _by_name(column.name)
    named = bool(points)
    if column.unique and column.distinct > _FEW:
        return LabelCandidate(column, 0, ("all values differ",))
    more, reason = _by_values(column, classes, outputs)
    points += more
    if sight.schema.names[-1] == column.name:
        points, why = points + 5, [*why, "the last column"]
    if column.folder:
        points, why = points - 10, [*why, "from folder names"]
    return LabelCandidate(column, points, (*why, *([reason] if reason else [])), named)


def _by_name(name: str) -> tuple[int, list[str]]:
    folded = re.sub(r"[^a-z0-9]", "", name.casefold())
    if folded in _NAMES:
        return _NAMES[folded], ["its name"]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).casefold()
    return (60, ["its name"]) if _PARTS.search(snake) else (0, [])


def _by_values(column: Column, classes: Sequence[str] | None, outputs: int | None) -> tuple[int, str]:
    """What its values are worth: as names of classes, as their places, or as few."""
    values, number = column.values or (), column.distinct
    texts = {_text(value) for value in values}
    if classes is not None and texts <= set(classes):
        return 50, f"its {number:,} values are names of the model's classes"
    if outputs is not None and column.whole and min(values) >= 0 and max(values) < outputs:
        # Zeros and ones are in many columns; ten different places are no chance.
        full = number == outputs
        return (30 if full else 15), f"its {number:,} values lie in 0 to {outputs - 1}"
    if family(decoded(column.kind)) == "bool":
        return (30 if outputs in (2, None) else -100), "true and false"
    if is_text(column.kind):
        if outputs is not None and number > outputs:
            return -100, f"{number:,} values, more than {outputs} classes"
        return (20 if number == outputs else 5), f"text of {number:,} values"
    if number > _MOST_CLASSES or (outputs is not None and number > outputs):
        return -100, f"{number:,} values, more than the model has classes"
    return 1, f"{number:,} whole numbers"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
