"""Names of metrics, as gates, tables and reports write them: `name(argument)[class]@slice`.

    recall[fraud]@country=DE,device=ios      recall_at_precision(0.9)      fidelity[torch].agreement

`MetricRef.parse` knows the grammar only, `check` the names that can be computed. A class or a slice value that the
plain form cannot hold stands in quotes, as a JSON string: `recall["a]b"]`. Neither function knows which classes or
slices a job has, nor where the text stands: they raise ValueError, and the caller adds the place.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from dataclasses import dataclass, replace

from ortbatch.metrics.checked import (
    CHECKED,
    COUNTS,
    bounds_of_checks,
    is_of_checks,
    lower_is_better_of_checks,
)

PER_CLASS = frozenset({"precision", "recall", "f1", "specificity", "roc_auc", "average_precision"})
"""Metrics that take a class in brackets; without one they are about the positive class of a binary model."""

LATENCY_STATISTICS = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")

TOP = (2, 3, 5, 10)
"""The k of `top_k_accuracy`."""

KNOWN = (
    PER_CLASS
    | {"accuracy", "balanced_accuracy", "majority_class_accuracy", "matthews_corrcoef", "cohen_kappa"}
    | {f"{metric}_{average}" for metric in ("precision", "recall", "f1") for average in ("macro", "weighted")}
    | {"log_loss", "brier", "ece", "coverage", "throughput.rows_per_s"}
    | {f"top_{k}_accuracy" for k in TOP}
    | {f"latency.{kind}.{statistic}_ms" for kind in ("batch", "single") for statistic in LATENCY_STATISTICS}
)
"""Every metric that this version computes."""

OPERATING = frozenset({"recall_at_precision", "precision_at_recall", "recall_at_fpr", "precision_at_top"})
"""Metrics of one operating point: they take a number in parentheses, and a class as those of `PER_CLASS` do."""

FIDELITY_SHARES = ("accuracy", "balanced_accuracy", "f1", "f1_macro")
_GAPS = ("max", "mean", "rms", "p50", "p90", "p99", "p99_9")
FIDELITY = frozenset(
    {f"fidelity.{name}" for name in ("agreement", "flips", "unusable", "latency_ratio", "single_latency_ratio")}
    | {f"fidelity.{name}_difference" for name in (*_GAPS, *FIDELITY_SHARES)}
)
"""Metrics of a model and one that runs beside it; they take its name in brackets: `fidelity[torch].agreement`."""

FIDELITY_OF_SLICES = ("fidelity.agreement", "fidelity.accuracy_difference")
"""Those that are kept for slices too."""

PAIRED = ("accuracy", "recall", "f1", "f1_macro", "balanced_accuracy")
"""Metrics that are compared row by row with a model that runs beside this one."""

_OF_SLICES = ("accuracy", "precision", "recall", "f1", "specificity", "roc_auc", "average_precision")
_OF_SLICES_OF_MANY = ("accuracy", "balanced_accuracy", "f1_macro")
_OF_CLASSES_OF_SLICES = ("precision", "recall", "f1")
CLASSES_OF_SLICES = 20
"""Up to so many classes, slices keep metrics of each."""

_WITHOUT_INTERVAL = frozenset({"coverage", "throughput.rows_per_s", "ece", *COUNTS})

MAX_CHARACTERS = 1_000
"""Longest text of a reference; keeps the time to read one small whatever a file holds."""

_BASELINE_FAMILY = "fidelity"
_SHARE_DIFFERENCES = tuple(f"fidelity.{name}_difference" for name in FIDELITY_SHARES)
_FIDELITY_COUNTS = ("fidelity.flips", "fidelity.unusable")
_FIDELITY_WITHOUT_INTERVAL = (*_FIDELITY_COUNTS, "fidelity.max_difference", "fidelity.rms_difference")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WORD = rf'(?:{_QUOTED}|[^"@\[\](),=<>\s][^"@\[\](),=<>]*)'
_NAME = r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*"
_REFERENCE = re.compile(
    rf"\s*(?P<name>{_NAME})(?:\((?P<argument>[^()]*)\))?"
    rf"(?:\[(?P<class_name>\s*{_QUOTED}\s*|[^\[\]]*)\](?P<tail>(?:\.[A-Za-z0-9_]+)*))?"
    rf"(?:@(?P<slice>{_WORD}={_WORD}(?:,{_WORD}={_WORD})*))?\s*"
)
_PAIR = re.compile(rf"({_WORD})=({_WORD})(?:,|$)")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class MetricRef:
    """The name of one metric; `MetricRef.parse(str(ref)) == ref`.

    Args:
        name: metric, `recall` or `latency.single.p99_ms`.
        argument: finite number in parentheses, the 0.9 of `recall_at_precision(0.9)`.
        class_name: class in brackets; the baseline of `fidelity.*`.
        slice: pairs of column and value, in the order written; empty for all rows.

    Raises:
        ValueError: a part that no reference can hold.

    >>> str(MetricRef("recall", class_name="fraud", slice=(("country", "DE"),)))
    'recall[fraud]@country=DE'
    """

    name: str
    argument: float | None = None
    class_name: str | None = None
    slice: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(_NAME, self.name):
            raise ValueError(
                f"{self.name!r} is no name of a metric; names look like `recall` or `latency.batch.p99_ms`"
            )
        if self.argument is not None and not math.isfinite(self.argument):
            raise ValueError(f"the number in parentheses must be finite, got {self.argument}")
        columns = [column for column, _ in self.slice]
        if len(set(columns)) != len(columns):
            raise ValueError(f"the slice names a column twice: {', '.join(columns)}")
        texts = (self.class_name or "", *(text for pair in self.slice for text in pair))
        if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
            raise ValueError("half a surrogate pair stands in a name; no file can hold it")

    def __str__(self) -> str:
        name, suffix = self.name, ""
        if self.class_name is not None and self.name.startswith(f"{_BASELINE_FAMILY}."):
            name, suffix = _BASELINE_FAMILY, self.name.removeprefix(_BASELINE_FAMILY)
        argument = "" if self.argument is None else f"({self.argument!r})"
        class_name = "" if self.class_name is None else f"[{_written(self.class_name, '[^][]+')}]"
        pairs = ",".join(f"{_written(column, _WORD)}={_written(value, _WORD)}" for column, value in self.slice)
        return f"{name}{argument}{class_name}{suffix}" + (f"@{pairs}" if pairs else "")

    @classmethod
    def parse(cls, text: str) -> MetricRef:
        """Read a reference.

        Raises:
            ValueError: the text is no reference; the message says from where on it could not be read.

        >>> MetricRef.parse('recall["a]b"]').class_name
        'a]b'
        """
        ref, rest = scan(text)
        if rest:
            raise ValueError(f"cannot read {rest!r} after the metric `{ref}`; the form is name[class]@column=value")
        return ref


def scan(text: str) -> tuple[MetricRef, str]:
    """Read the reference that `text` begins with, and hand back what follows it.

    Raises:
        ValueError: `text` begins with none.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a text of {len(text)} characters is too long for a metric; {MAX_CHARACTERS} are allowed")
    match = _REFERENCE.match(text)
    if match is None:
        raise ValueError(f"{text!r} does not begin with the name of a metric, such as `accuracy` or `recall[cat]`")
    name, class_name, tail = match["name"], match["class_name"], match["tail"] or ""
    if tail and name != _BASELINE_FAMILY:
        raise ValueError(f"nothing may follow the brackets of `{name}[...]` but a slice, got {tail!r}")
    argument = None if match["argument"] is None else number(match["argument"].strip())
    ref = MetricRef(
        name + tail,
        argument,
        None if class_name is None else _read(class_name.strip()),
        tuple((_read(pair[1].strip()), _read(pair[2].strip())) for pair in _PAIR.finditer(match["slice"] or "")),
    )
    return ref, text[match.end() :]


def number(text: str) -> float:
    """Read a finite decimal number as gates write them.

    Raises:
        ValueError: anything else, a percentage and `nan` among them.
    """
    if text.endswith("%") and _NUMBER.fullmatch(text[:-1].strip()):
        share = round(float(text[:-1]) / 100, 12)
        raise ValueError(f"percentages are not allowed, got {text!r}; write {share:g}")
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f"expected a finite number such as 0.95, got {text!r}")
    return float(text)


def check(ref: MetricRef) -> None:
    """Refuse a metric that this version cannot compute.

    Raises:
        ValueError: unknown name (with the nearest known one), a class where none belongs, or an argument.
    """
    if is_fidelity(ref.name):
        _check_fidelity(ref)
        return
    if is_of_checks(ref.name):
        _check_of_checks(ref)
        return
    if ref.name not in KNOWN | OPERATING:
        near = difflib.get_close_matches(ref.name, sorted(KNOWN | OPERATING), n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(KNOWN | OPERATING))}"
        raise ValueError(f"unknown metric `{ref.name}`; {hint}")
    if ref.class_name is not None and ref.name not in PER_CLASS | OPERATING:
        having = ", ".join(sorted(PER_CLASS | OPERATING))
        raise ValueError(f"`{ref.name}` takes no class, got [{ref.class_name}]; {having} do")
    if ref.name in OPERATING:
        _check_argument(ref)
    elif ref.argument is not None:
        raise ValueError(f"`{ref.name}` takes no number in parentheses, got ({ref.argument!r})")
    kept = dict.fromkeys((*_OF_SLICES, *_OF_SLICES_OF_MANY))
    if ref.slice and ref.name not in kept:
        raise ValueError(f"`{ref.name}` is not kept for slices; kept are {', '.join(kept)}")


def _check_fidelity(ref: MetricRef) -> None:
    """Refuse a metric of a baseline that there is not, or that names no baseline."""
    known = ", ".join(sorted(name.removeprefix("fidelity.") for name in FIDELITY))
    if ref.name not in FIDELITY:
        near = difflib.get_close_matches(ref.name, sorted(FIDELITY), n=1, cutoff=0.75)
        written = str(replace(ref, name=near[0])) if near else ""
        hint = f"did you mean `{written}`?" if near else f"known are, behind `fidelity[BASELINE].`: {known}"
        raise ValueError(f"unknown metric `{ref}`; {hint}")
    if ref.class_name is None:
        named = ref.name.removeprefix("fidelity.")
        raise ValueError(f"`{ref.name}` names no baseline; write `fidelity[BASELINE].{named}`")
    if ref.argument is not None:
        raise ValueError(f"`{ref}` takes no number in parentheses")
    if ref.slice and ref.name not in FIDELITY_OF_SLICES:
        kept = ", ".join(name.removeprefix("fidelity.") for name in FIDELITY_OF_SLICES)
        raise ValueError(f"`{ref.name}` is not kept for slices; of a baseline {kept} are")


def _check_of_checks(ref: MetricRef) -> None:
    """Refuse a metric of the checks against the training data that there is not."""
    if ref.name not in CHECKED:
        near = difflib.get_close_matches(ref.name, sorted(CHECKED), n=1, cutoff=0.75)
        family = ref.name.partition(".")[0]
        known = ", ".join(sorted(name for name in CHECKED if name.startswith(family)))
        hint = f"did you mean `{near[0]}`?" if near else f"known are {known}"
        raise ValueError(f"unknown metric `{ref.name}`; {hint}")
    if ref.class_name is not None or ref.argument is not None or ref.slice:
        raise ValueError(f"`{ref.name}` takes no class, number or slice, got `{ref}`")


def is_fidelity(name: str) -> bool:
    """Is it about a model and one that runs beside it, known or not?

    >>> is_fidelity("fidelity.agreement"), is_fidelity("recall")
    (True, False)
    """
    return name == _BASELINE_FAMILY or name.startswith(f"{_BASELINE_FAMILY}.")


def _check_argument(ref: MetricRef) -> None:
    """Refuse an operating point without its number, or one that no rows can have."""
    number, of_fpr = ref.argument, ref.name == "recall_at_fpr"
    allowed = "from 0 to below 1" if of_fpr else "above 0 and at most 1"
    example = f"`{ref.name}({'0.01' if of_fpr or ref.name == 'precision_at_top' else '0.9'})`"
    if number is None:
        raise ValueError(f"`{ref.name}` needs a number in parentheses, {allowed}: {example}")
    if not (0 <= number < 1 if of_fpr else 0 < number <= 1):
        raise ValueError(f"`{ref.name}` takes a number {allowed}, got ({number!r})")


def sliced(classes: int, *, of_class: bool) -> tuple[str, ...]:
    """Metrics that are kept for slices: of a model with so many classes, or of one of its classes.

    >>> sliced(3, of_class=False)
    ('accuracy', 'balanced_accuracy', 'f1_macro')
    """
    if not of_class:
        return _OF_SLICES if classes == 2 else _OF_SLICES_OF_MANY
    if classes == 2:
        return _OF_SLICES[1:]
    return _OF_CLASSES_OF_SLICES if classes <= CLASSES_OF_SLICES else ()


def has_interval(name: str) -> bool:
    """Whether a known metric ever has an interval.

    >>> has_interval("recall"), has_interval("ece")
    (True, False)
    """
    return name not in (*_WITHOUT_INTERVAL, *_FIDELITY_WITHOUT_INTERVAL) and not name.endswith((".mean_ms", ".max_ms"))


def bounds(name: str) -> tuple[float, float]:
    """Smallest and largest value that a known metric can take.

    >>> bounds("accuracy"), bounds("cohen_kappa")
    ((0.0, 1.0), (-1.0, 1.0))
    """
    if is_of_checks(name):
        return bounds_of_checks(name)
    if name in ("matthews_corrcoef", "cohen_kappa") or name in _SHARE_DIFFERENCES:
        return -1.0, 1.0
    if name in _FIDELITY_COUNTS or name.endswith("latency_ratio"):
        return 0.0, math.inf
    if name in ("log_loss", "brier", "throughput.rows_per_s") or name.startswith("latency."):
        return 0.0, math.inf
    return 0.0, 1.0


def lower_is_better(name: str) -> bool:
    """Is a fall of a known metric good news?

    >>> lower_is_better("latency.single.p99_ms"), lower_is_better("recall")
    (True, False)
    """
    if is_of_checks(name):
        return lower_is_better_of_checks(name)
    if name.startswith(f"{_BASELINE_FAMILY}."):
        gap = name.endswith("_difference") and name not in _SHARE_DIFFERENCES
        return gap or name in _FIDELITY_COUNTS
    return name in ("log_loss", "brier", "ece") or name.startswith("latency.")


def _written(text: str, plain: str) -> str:
    """Quote `text` unless the plain form reads back as the same text."""
    as_it_is = re.fullmatch(plain, text) and text == text.strip() and not text.startswith('"')
    return text if as_it_is else json.dumps(text)


def _read(text: str) -> str:
    if not text.startswith('"'):
        if not text:
            raise ValueError('an empty name needs quotes: `recall[""]`')
        return text
    try:
        read = json.loads(text)
    except ValueError:
        raise ValueError(f'{text} is no JSON string; a name in quotes looks like "a]b"') from None
    return str(read)
