"""Keys whose feature comes later: parsed and checked for their shape, then refused, never ignored.

When a feature arrives, delete its line from `LATER`, and mark its key in docs/job.md as available.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Later:
    """One thing that is not available yet.

    Args:
        key: the key it stands under, without names and indexes: `model.inputs.pad`.
        applies: whether a value of that key, valid in shape, asks for the feature.
        what: how the message names the feature; the value is put in for `{value}`.
    """

    key: str
    applies: Callable[[Any], bool]
    what: str

    @property
    def whole_key(self) -> bool:
        """Whether the key can only ask for the feature, whatever its value."""
        return self.applies is _given


def _given(value: Any) -> bool:
    return value not in (None, (), {})


def _is(word: str) -> Callable[[Any], bool]:
    return lambda value: bool(value == word)


def _names(*patterns: str) -> Callable[[Any], bool]:
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)


def _has_pattern(columns: Any) -> bool:
    return isinstance(columns, tuple) and any("*" in column for column in columns)


def _is_file(columns: Any) -> bool:
    return isinstance(columns, str)


LATER = (
    Later("model.inputs.columns", _has_pattern, "a pattern of columns (`*`)"),
    Later("model.inputs.columns", _is_file, "a file of column names"),
    Later("model.inputs.pad", _given, "padding of ragged lists"),
    Later("model.inputs.pad_to", _given, "padding of ragged lists"),
    Later("model.inputs.max_length", _given, "a longest length of ragged lists"),
    Later("model.inputs.overflow", _given, "a rule for lists that are too long"),
    Later("model.inputs.mask_of", _given, "a mask made from another input"),
    Later("model.inputs.fill", _given, "an input filled with one value"),
    Later("slices", _given, "slices"),
    Later("baselines", _given, "baselines"),
    Later("checks", _given, "checks against training data"),
    Later("predictions", _given, "writing predictions"),
    Later("tracking", _given, "tracking"),
    Later("execution.on_bad_shard", _is("quarantine"), "`quarantine`"),
    Later("gates.slice", _given, "a gate on a slice (`@{value}`)"),
    Later("gates.versus", _given, "a gate against a baseline (`versus`)"),
    Later("gates.max_drop", _given, "a gate on a drop (`max_drop`)"),
    Later("gates.confidence", _given, "a gate with a confidence"),
    Later("gates.metric", _names("ece"), "the metric `{value}`"),
    Later("gates.metric", _names("top_5_accuracy"), "the metric `{value}`"),
    Later("gates.metric", _names("recall_at_*", "precision_at_*", "specificity_at_*"), "the metric `{value}`"),
    Later("gates.metric", _names("fidelity", "fidelity.*"), "the metric `{value}`"),
    Later("gates.metric", _names("leakage", "leakage.*"), "the metric `{value}`"),
    Later("gates.metric", _names("overfitting", "overfitting.*"), "the metric `{value}`"),
)


def refuse_later(key: str, value: Any) -> None:
    """Refuse a value that asks for a feature of a later version.

    Raises:
        ValueError: it does.
    """
    for later in LATER:
        if later.key == key and later.applies(value):
            what = later.what.replace("{value}", str(value))
            raise ValueError(
                f"not available yet: {what}; this version refuses it rather than ignore it, so take it out"
            )
