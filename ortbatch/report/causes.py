"""Why a model and its baseline differ: the usual cause that explains the numbers of a `fidelity` entry best.

Each cause leaves its own traces: which rows differ, by how much, and whose they are. The plainer one is looked for
first; the last one is what is left. Causes are told from the numbers alone, and are findings: a reader who knows the
two models may know better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ortbatch.report.format import number

Entry = Mapping[str, Any]

_EXPLAINS = 0.9  # of the flips: a permutation of the classes
_OWNS = 0.8  # of the rows that differ much: a class or a slice
_OWNS_FLIPS = 0.9
_MANY_OF_ITS_ROWS = 0.25
_MANY_OF_OTHERS = 0.1
_TIMES_AS_OFTEN = 10.0
_ENOUGH = 20
_FEW = 0.1  # of all rows, that take another branch of a tree
_EQUAL, _LARGE = 1e-6, 1e-4
_ROUNDING = 1e-4
_SMALL_RMS, _SMALL_P99, _FEW_FLIPS = 0.015, 0.05, 0.03
_SOME_FLIPS = 0.1
_VERY_LARGE, _MANY = 0.1, 0.45
_NOTICEABLE, _NEARLY_ALL = 1e-3, 0.95
_ALIKE = 0.99


@dataclass(frozen=True)
class Cause:
    """What explains the difference to one baseline.

    Args:
        code: a fixed word.
        severity: of the finding.
        text: the sentence, with the numbers that say so.
    """

    code: str
    severity: str
    text: str


def causes(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A finding for each baseline of a decoded report, and one more where it could not do rows."""
    for name, entry in report.get("fidelity", {}).items():
        if unusable := sum(entry["unusable"].values()):
            reasons = ", ".join(f"{reason}: {rows:,}" for reason, rows in entry["unusable"].items())
            text = (
                f"`{name}` could not do {unusable:,} rows that the model did ({reasons}); fidelity is about the others."
            )
            yield {"severity": "warning", "code": "fidelity_unusable_rows", "text": text}
        if entry["rows"]:
            cause = cause_of(name, entry)
            yield {"severity": cause.severity, "code": cause.code, "text": cause.text}


def cause_of(name: str, entry: Entry) -> Cause:
    """The cause of one entry, of at least one row.

    Args:
        name: of the baseline.
        entry: of the section `fidelity`, as decoded.
    """
    return next(cause for look in _LOOKS if (cause := look(name, entry)) is not None)


def _identical(name: str, entry: Entry) -> Cause | None:
    scores = entry.get("scores")
    if entry["flips"] or (scores is not None and scores["max"]["value"]):
        return None
    what = "labels" if scores is None else "probabilities, to the bit,"
    return Cause("fidelity_identical", "info", f"`{name}` and the model give the same {what} for {_rows(entry)}.")


def _batch(name: str, entry: Entry) -> Cause | None:
    """Predictions that are no function of the row alone are another model's in other company, whatever the export."""
    whose = [side for side, dependent in entry["batch_dependent"].items() if dependent]
    if not whose:
        return None
    named = " and ".join("the model" if side == "model" else f"`{name}`" for side in whose)
    text = (
        f"predictions of {named} depend on the batch, and that alone makes it differ: {_how(entry)}. Quantise "
        "statically, or compare one row at a time, before anything else is looked for."
    )
    return Cause("fidelity_batch_dependent", "warning", text)


def _swapped(name: str, entry: Entry) -> Cause | None:
    swap = entry.get("permutation")
    if swap is None or swap["explains"] < _EXPLAINS:
        return None
    rows, of_model, of_baseline = (
        sum(pair[key] for pair in swap["moved"]) for key in ("rows", "of_model", "of_baseline")
    )
    if rows < _OWNS * max(of_model, of_baseline):
        return None
    pairs = ", ".join(f"`{pair['baseline']}` → `{pair['model']}`" for pair in swap["moved"][:3])
    more = f" and {len(swap['moved']) - 3} more" if len(swap["moved"]) > 3 else ""
    text = (
        f"classes are swapped against `{name}`: what it calls {pairs}{more} explains {swap['explains']:.1%} of "
        f"{entry['flips']:,} rows whose labels differ. Check the order of the outputs, or `data.classes`."
    )
    return Cause("fidelity_classes_swapped", "error", text)


def _one_slice(name: str, entry: Entry) -> Cause | None:
    """A slice holds nearly all rows that differ much, and many of its own rows are among them."""
    step = _large_step(entry)
    if step is None:
        return None
    rows, total = entry["scores"]["rows"], [above["rows"] for above in entry["scores"]["above"]]
    owners = []
    for part in entry.get("slices", []):
        inside, outside = part["above"][step], total[step] - part["above"][step]
        others = rows - part["rows"]
        rate = inside / part["rows"]
        far_more = not outside or rate >= _TIMES_AS_OFTEN * outside / max(1, others)
        lower = max(0, step - 2)
        owns = all(part["above"][at] >= _OWNS * total[at] for at in (step, lower))
        if others and owns and far_more and rate >= _MANY_OF_ITS_ROWS:
            owners.append((part["rows"], part, inside))
    if not owners:
        return None
    size, part, inside = min(owners, key=lambda owner: owner[0])
    tolerance = entry["scores"]["above"][step]["tolerance"]
    text = (
        f"the difference to `{name}` is that of slice {part['name']}: {inside:,} of {total[step]:,} rows that differ "
        f"by more than {tolerance:g} are in it, which has {size:,} of {rows:,}. Look at what is particular to them: a "
        "branch of the model, an embedding, a category."
    )
    return Cause("fidelity_one_slice", "warning", text)


def _one_class(name: str, entry: Entry) -> Cause | None:
    """A class owns the large differences, or the flips, and rows of the other classes are hardly touched."""
    classes = entry["per_class"]
    if len(classes) <= 2:
        return None
    owner = _owner_of_gaps(entry) or _owner_of_flips(entry)
    if owner is None:
        return None
    own = next(row for row in classes if row["class"] == owner)
    others = [row for row in classes if row["class"] != owner]
    flips, support = sum(row["flips"] for row in others), sum(row["support"] for row in others)
    if flips > _MANY_OF_OTHERS * support or own["flips"] < _MANY_OF_ITS_ROWS * own["support"]:
        return None
    recall = own["recall"]
    text = (
        f"the difference to `{name}` is that of class `{owner}`: {own['flips']:,} of its {own['support']:,} rows flip, "
        f"{flips:,} of the {support:,} others; its recall is {number(recall['model'])} instead of "
        f"{number(recall['baseline'])}. Look at the weights of that output."
    )
    return Cause("fidelity_one_class", "warning", text)


def _splits(name: str, entry: Entry) -> Cause | None:
    """Few rows differ, and those by much: they lie on a split, which float32 puts on its other side."""
    scores = entry.get("scores")
    if scores is None:
        return None
    equal, large = _above(entry, _EQUAL), _above(entry, _LARGE)
    if not large or equal > _FEW * scores["rows"] or large < equal / 2:
        return None
    text = (
        f"{equal:,} of {scores['rows']:,} rows differ from `{name}`, by up to {number(scores['max']['value'])}, the "
        "others are equal: so do ensembles of trees whose splits were rounded to float32, where rows that lie on a "
        "split go the other way."
    )
    return Cause("fidelity_tree_splits", "info" if entry["agreement"]["value"] >= _ALIKE else "warning", text)


def _precision(name: str, entry: Entry) -> Cause | None:
    """Small differences on many rows."""
    scores = entry.get("scores")
    if scores is None or entry["flips"] > _FEW_FLIPS * entry["rows"]:
        return None
    if scores["rms"]["value"] > _SMALL_RMS or scores["p99"]["value"] > _SMALL_P99:
        return None
    rounding = scores["max"]["value"] <= _ROUNDING
    what = "float32 arithmetic in another order" if rounding else "arithmetic of less precision (float16, int8)"
    text = f"differences to `{name}` are small and spread over the rows, as {what} makes them: {_how(entry)}."
    return Cause("fidelity_precision", "info" if entry["agreement"]["value"] >= _ALIKE else "warning", text)


def _quantised(name: str, entry: Entry) -> Cause | None:
    """One of the two computes with integers, and says another label for few rows only."""
    whose = [side for side, quantized in entry.get("quantized", {}).items() if quantized]
    if not whose or entry["flips"] > _SOME_FLIPS * entry["rows"]:
        return None
    named = " and ".join("the model" if side == "model" else f"`{name}`" for side in whose)
    text = (
        f"{named} computes with integers of few bits, and the difference is what that costs: {_how(entry)}. If it is "
        "too much: calibrate on more rows, quantise weights a channel, or keep the layers that lose most in float."
    )
    return Cause("fidelity_quantised", "info" if entry["agreement"]["value"] >= _ALIKE else "warning", text)


def _preprocessing(name: str, entry: Entry) -> Cause | None:
    """Differences on nearly every row, and very large ones on many: inputs are other ones, whatever the row."""
    scores = entry.get("scores")
    if scores is None or _above(entry, _VERY_LARGE) < _MANY * scores["rows"]:
        return None
    if _above(entry, _NOTICEABLE) < _NEARLY_ALL * scores["rows"]:
        return None
    text = (
        f"probabilities differ from those of `{name}` on nearly every row, by more than {_VERY_LARGE:g} on "
        f"{_above(entry, _VERY_LARGE) / scores['rows']:.0%} of them ({_how(entry)}). Check the "
        "preprocessing first: normalisation, scale, order of columns or channels; else it is another model."
    )
    return Cause("fidelity_preprocessing", "error", text)


def _weights(name: str, entry: Entry) -> Cause | None:
    """What is left, where probabilities of both are known."""
    if "scores" not in entry:
        return None
    text = (
        f"differences to `{name}` are neither small nor everywhere large, as other weights make them: {_how(entry)}. "
        "Check that both are of the same training run and were converted whole."
    )
    return Cause("fidelity_weights", "warning", text)


def _labels(name: str, entry: Entry) -> Cause | None:
    text = (
        f"{entry['flips']:,} of {entry['rows']:,} labels differ from those of `{name}`; without probabilities of both "
        "the cause cannot be told."
    )
    return Cause("fidelity_labels_differ", "info" if entry["agreement"]["value"] >= _ALIKE else "warning", text)


_LOOKS: tuple[Callable[[str, Entry], Cause | None], ...] = (
    _identical,
    _batch,
    _swapped,
    _one_slice,
    _one_class,
    _splits,
    _precision,
    _quantised,
    _preprocessing,
    _weights,
    _labels,
)


def _large_step(entry: Entry) -> int | None:
    """Place of the largest tolerance that enough rows are above; None if there is none."""
    steps = entry["scores"]["above"] if "scores" in entry else []
    return next((place for place in reversed(range(len(steps))) if steps[place]["rows"] >= _ENOUGH), None)


def _owner_of_gaps(entry: Entry) -> str | None:
    """The class whose probability differs most on nearly all rows that differ much."""
    step = _large_step(entry)
    by_class = entry["scores"].get("by_class", []) if step is not None else []
    if step is None or not by_class:
        return None
    owner = max(by_class, key=lambda row: row["above"][step])
    return owner["class"] if owner["above"][step] >= _OWNS * entry["scores"]["above"][step]["rows"] else None


def _owner_of_flips(entry: Entry) -> str | None:
    """The class that nearly all rows whose labels differ go to, or come from."""
    flips = entry["flips"]
    if flips < _ENOUGH or not entry["differ_most"]:
        return None
    owner = entry["differ_most"][0]
    return owner["class"] if owner["flips"] >= _OWNS_FLIPS * flips else None


def _above(entry: Entry, tolerance: float) -> int:
    return next(int(above["rows"]) for above in entry["scores"]["above"] if above["tolerance"] == tolerance)


def _rows(entry: Entry) -> str:
    return "the one row" if entry["rows"] == 1 else f"all {entry['rows']:,} rows"


def _how(entry: Entry) -> str:
    """Agreement and size of the differences, in a few words."""
    said = f"{entry['flips']:,} of {entry['rows']:,} labels differ"
    if "scores" not in entry:
        return said
    mean, largest = entry["scores"]["mean"]["value"], entry["scores"]["max"]["value"]
    return f"{said}, probabilities by {mean:.2g} on average and up to {largest:.2g}"
