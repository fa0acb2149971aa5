"""A gate: one metric and the limit it must keep, as text `recall[cat] >= 0.9` or as a mapping.

    {metric: recall, class: cat, min: 0.9}
    {metric: recall, class: cat, versus: previous, max_drop: 0.01, confidence: 0.95}

A gate is judged elsewhere; here it is only read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from ortbatch.job.data_spec import ClassName
from ortbatch.job.part import Part, Text
from ortbatch.job.wording import did_you_mean, got, shortened
from ortbatch.metrics.reference import (
    CLASSES_OF_SLICES,
    OPERATING,
    PAIRED,
    MetricRef,
    bounds,
    check,
    has_interval,
    is_fidelity,
    lower_is_better,
    number,
    scan,
    sliced,
)

Operator = Literal[">=", ">", "<=", "<", "=="]

_OPERATORS = get_args(Operator)
_LIMIT = re.compile(r"(>=|<=|==|>|<)(?![<>=])\s*(.*)", re.DOTALL)


class GateMapping(Part):
    """The long form of a gate; for names that the text form makes awkward, and for gates against a baseline."""

    section: ClassVar[str] = "gates"

    metric: Text = Field(description="Metric, such as `accuracy`, or a whole reference.")
    class_name: ClassName | None = Field(None, alias="class", description="Class of a metric per class.")
    slice: Mapping[Text, ClassName] | None = Field(None, description="Columns and values of a slice.")
    min: float | None = Field(None, description="Smallest value that passes.")
    max: float | None = Field(None, description="Largest value that passes.")
    versus: Text | None = Field(None, description="Baseline to compare with.")
    max_drop: Annotated[float, Field(ge=0)] | None = Field(None, description="Largest loss against `versus`.")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = Field(
        None, description="How sure the outcome must be, such as 0.95."
    )

    @model_validator(mode="after")
    def _one_limit(self) -> GateMapping:
        if (self.versus is None) != (self.max_drop is None):
            raise ValueError("`versus` and `max_drop` go together: the baseline, and the largest loss against it")
        limits = [key for key in ("min", "max", "max_drop") if getattr(self, key) is not None]
        if len(limits) != 1:
            raise ValueError(
                f"expected one limit, min, max or max_drop with versus, got {' and '.join(limits) or 'none'}"
                + ("; write two gates" if limits else "")
            )
        return self

    def gate(self) -> Gate:
        """The gate that this mapping stands for."""
        ref = MetricRef.parse(self.metric)
        if self.class_name is not None:
            if ref.class_name is not None:
                raise ValueError(f"the class stands twice: in `metric: {self.metric}` and as `class`")
            ref = replace(ref, class_name=self.class_name)
        if self.slice:
            ref = replace(ref, slice=tuple(self.slice.items()))
        if self.max_drop is not None:
            return Gate.on_drop(ref, self.max_drop, cast(str, self.versus), self.confidence)
        if self.max is not None:
            return Gate(ref, "<=", self.max, None, self.confidence)
        return Gate(ref, ">=", cast(float, self.min), None, self.confidence)


@dataclass(frozen=True)
class Gate:
    """A metric and its limit.

    Args:
        op: how the value must stand to `limit`.
        limit: finite; against a baseline the limit of the difference, value minus the baseline's.
        versus: baseline to compare with, or None.
        confidence: how sure the outcome must be, or None: the estimate alone decides.
    """

    metric: MetricRef
    op: Operator
    limit: float
    versus: str | None = None
    confidence: float | None = None

    def __str__(self) -> str:
        against = f" versus {self.versus}" if self.versus is not None else ""
        sure = f" (confidence {self.confidence:.12g})" if self.confidence is not None else ""
        return f"{self.metric}{against} {self.op} {_plain(self.limit)}{sure}"

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read `METRIC OP NUMBER`; checks the form, not whether the metric is known.

        Raises:
            ValueError: another form, or a number that is not finite.

        >>> Gate.parse("recall[cat] >= 0.9").metric.class_name
        'cat'
        """
        ref, rest = scan(text)
        match = _LIMIT.fullmatch(rest.strip())
        if match is None:
            form = f"METRIC OP NUMBER with OP one of {', '.join(_OPERATORS)}, such as `accuracy >= 0.9`"
            raise ValueError(f"expected {form}; cannot read {got(rest)} after `{ref}`")
        return cls(ref, cast(Operator, match[1]), number(match[2].strip()))

    @classmethod
    def on_drop(cls, ref: MetricRef, max_drop: float, versus: str, confidence: float | None = None) -> Gate:
        """The gate that allows a loss of `max_drop` against `versus`: a fall, or a rise where lower is better."""
        if lower_is_better(ref.name):
            return cls(ref, "<=", float(max_drop), versus, confidence)
        return cls(ref, ">=", 0.0 - max_drop, versus, confidence)

    def as_key(self) -> str | dict[str, Any]:
        """The gate as a job file writes it: text, or a mapping where the text form cannot say it."""
        if self.versus is None and self.confidence is None:
            return str(self)
        if self.versus is not None:
            limit: dict[str, Any] = {"versus": self.versus, "max_drop": abs(self.limit)}
        else:
            limit = {"min" if self.op == ">=" else "max": self.limit}
        confidence = {} if self.confidence is None else {"confidence": self.confidence}
        return {"metric": str(self.metric), **limit, **confidence}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_wrap_validator_function(
            _gate,
            handler.generate_schema(GateMapping),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.as_key),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        text = {
            "type": "string",
            "pattern": r"^\s*[A-Za-z].*(>=|<=|==|>|<)\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*$",
            "description": "METRIC OP NUMBER, such as `recall[cat] >= 0.9`.",
        }
        return {"anyOf": [text, handler(cast(Any, schema)["schema"])]}


def _gate(value: Any, handler: core_schema.ValidatorFunctionWrapHandler, info: core_schema.ValidationInfo) -> Gate:
    """A gate from any of its forms, refused where the job cannot judge it."""
    if isinstance(value, Gate):
        gate = value
    elif isinstance(value, str):
        gate = Gate.parse(value)
    else:
        gate = handler(value).gate()
    check(gate.metric)
    low, high = bounds(gate.metric.name)
    if gate.versus is None and not low <= gate.limit <= high:
        raise ValueError(f"`{gate.metric.name}` lies between {low:g} and {high:g}, the limit is {_plain(gate.limit)}")
    known = info.context or {}
    check_class(gate, known.get("classes"))
    check_slice(gate, known.get("slices"))
    check_baseline(gate, known.get("baselines"), known.get("beside"))
    if gate.confidence is not None and gate.versus is None and not has_interval(gate.metric.name):
        raise ValueError(f"`{gate.metric.name}` has no interval to be sure by; leave `confidence` out")
    return gate


def check_class(gate: Gate, classes: Sequence[str] | None) -> None:
    """Refuse a gate on a class that the job does not have; `classes` is None where they are not known yet.

    Raises:
        ValueError: it names none of `classes`, or needs a class as there are more than two.
    """
    if classes is None or is_fidelity(gate.metric.name):
        return
    name, class_name = gate.metric.name, gate.metric.class_name
    if class_name is not None and class_name not in classes:
        named = shortened(", ".join(classes))
        raise ValueError(f"class {got(class_name)} is none of the classes {named}{did_you_mean(class_name, classes)}")
    if class_name is None and name in ("precision", "recall", "f1", "specificity") and len(classes) > 2:
        macro = f", or {name}_macro" if name != "specificity" else ""
        raise ValueError(f"`{name}` needs a class where there are {len(classes)}: `{name}[{classes[0]}]`{macro}")
    if class_name is None and name in OPERATING and len(classes) > 2:
        example = replace(gate.metric, class_name=classes[0])
        raise ValueError(f"`{name}` needs a class where there are {len(classes)}: `{example}`")
    if gate.metric.slice:
        _check_sliced(gate.metric, classes)


def _check_sliced(metric: MetricRef, classes: Sequence[str]) -> None:
    """Refuse a metric that is not kept for slices of a model with these classes."""
    kept = sliced(len(classes), of_class=metric.class_name is not None)
    if metric.name in kept:
        return
    whose = f"{len(classes)} classes" if metric.class_name is None else f"a class of {len(classes)}"
    if not kept:
        raise ValueError(
            f"slices keep metrics of a class for up to {CLASSES_OF_SLICES} classes; there are {len(classes)}"
        )
    raise ValueError(f"`{metric.name}` of {whose} is not kept for slices; kept are {', '.join(kept)}")


def check_slice(gate: Gate, slices: Sequence[Sequence[str]] | None) -> None:
    """Refuse a gate on a slice that the job does not ask for; `slices` is None where they are not known.

    Args:
        gate: the gate.
        slices: columns of each of the job's slices.

    Raises:
        ValueError: its columns are not exactly those of one of them.
    """
    columns = [column for column, _ in gate.metric.slice]
    if slices is None or not columns or any(set(columns) == set(known) for known in slices):
        return
    if not slices:
        raise ValueError(f"the job has no slices by {', '.join(columns)}; ask for them with `slices: [[...]]`")
    known = "; ".join(", ".join(by) for by in slices)
    raise ValueError(f"the job has no slices by {shortened(', '.join(columns))}; its slices are by: {shortened(known)}")


def check_baseline(gate: Gate, names: Sequence[str] | None, beside: Sequence[str] | None = None) -> None:
    """Refuse a gate about a baseline that there is not, or about what is not known of it.

    Args:
        gate: the gate.
        names: of all baselines; None where they are not known.
        beside: of those that run beside the model, on the same rows; None where they are not known.

    Raises:
        ValueError: it names none of them, or a metric that cannot be compared row by row.
    """
    if is_fidelity(gate.metric.name) and beside is not None:
        _check_beside(str(gate.metric.class_name), names or (), beside)
    if gate.versus is not None and beside is not None and gate.versus in beside:
        _check_paired(gate.metric, gate.versus)
    if gate.versus is None or names is None or gate.versus in names:
        return
    if not names:
        form = f"`baselines: {{{shortened(gate.versus)}: {{run: FOLDER}}}}`"
        raise ValueError(f"there is no baseline `{shortened(gate.versus)}`; name an earlier run with {form}")
    named = shortened(", ".join(names))
    raise ValueError(f"versus {got(gate.versus)} is none of the baselines {named}{did_you_mean(gate.versus, names)}")


def _check_beside(name: str, names: Sequence[str], beside: Sequence[str]) -> None:
    """Refuse a baseline of `fidelity` that runs beside no model."""
    if name in beside:
        return
    if name in names:
        raise ValueError(f"baseline {got(name)} is an earlier run; fidelity is to a model that runs on the same rows")
    if not beside:
        form = f"`baselines: {{{shortened(name)}: {{path: other.onnx}}}}`"
        raise ValueError(f"there is no baseline `{shortened(name)}`; name a model to run on the same rows with {form}")
    named = shortened(", ".join(beside))
    raise ValueError(f"baseline {got(name)} is none of those on the same rows, {named}{did_you_mean(name, beside)}")


def _check_paired(metric: MetricRef, versus: str) -> None:
    """Refuse a metric that joint counts of rows do not give."""
    if metric.name not in PAIRED:
        hint = f"; for times there is `fidelity[{versus}].latency_ratio`" if metric.name.startswith("latency.") else ""
        raise ValueError(
            f"`{metric}` cannot be compared row by row with the model `{versus}`; {', '.join(PAIRED)} can{hint}"
        )
    if metric.slice and metric.name != "accuracy":
        raise ValueError(f"of slices only accuracy is compared row by row with a model, got `{metric}`")


def _plain(limit: float) -> str:
    return str(int(limit)) if limit.is_integer() and abs(limit) < 1e15 else repr(limit)
