"""What the model puts out, made into predictions and scores.

Class order is output order. A binary model's prediction is `score >= threshold` in float64, whatever label the model
puts out; a multiclass model's is the first largest output. Which output is used and of what kind it is are decided
once, from the job, the graph or real rows, and recorded with how they were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.binding import TensorSpec
from ortbatch.errors import ModelError
from ortbatch.metrics.scores import ONE_VS_REST_CLASSES
from ortbatch.model.graph import BINARY_SVM, CLASSIFIERS, Graph
from ortbatch.model.own_label import label_places
from ortbatch.model.probabilities import Index, LogOdds, Probabilities, Softmax, Table, at_least

NAN_SCORE = "nan_score"
INFINITE_SCORE = "infinite_score"
SCORE_OUT_OF_RANGE = "score_out_of_range"
UNKNOWN_PREDICTION = "unknown_prediction"
_SUM_TOLERANCE = 1e-3
_RANGE_TOLERANCE = 1e-5
_NEAR_UNDERFLOW = 1e-290


@dataclass(frozen=True)
class Output:
    """The output that is evaluated.

    Args:
        name: its name in the graph.
        kind: `logits`, `probabilities` or `label`.
        columns: scores a row; 1 for labels and for a single logit or sigmoid (of the second class); None if not known.
        inferred: how kind was found: `job`, `graph` or `values`.
        names: class names of its columns, or of its labels, where the graph says them.
        own_label: an output beside it that holds the model's own label, if there is one.
        own_by_place: are those labels places in the classes, though the classes are numbers?
    """

    name: str
    kind: str | None
    columns: int | None
    inferred: str
    names: tuple[str, ...] | None = None
    own_label: str | None = None
    own_by_place: bool = False

    @property
    def reads(self) -> list[str]:
        """Outputs that a run asks for."""
        return [self.name] if self.own_label is None else [self.name, self.own_label]

    @property
    def classes(self) -> int | None:
        """Number of classes that it scores; None if it does not say."""
        if self.names is not None:
            return len(self.names)
        if self.kind == "label" or self.columns is None:
            return None
        return max(2, self.columns)


@dataclass(frozen=True)
class Decision:
    """How scores become predictions.

    Args:
        output: the output, its kind known.
        classes: C names, in output order.
        positive: index of the positive class of a binary task; None for multiclass.
        threshold: of a binary task, in probability.
    """

    output: Output
    classes: tuple[str, ...]
    positive: int | None
    threshold: float

    def places(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Class indices of labels that the model puts out, int64[N]; -1 for a label that is no class."""
        return label_places(self.output.names or self.classes, labels, by_place=self.output.own_by_place)

    @property
    def curves(self) -> tuple[str, ...]:
        """The class of each score curve: none for labels, the positive one, or all of a small multiclass task."""
        if self.output.kind == "label":
            return ()
        if self.positive is not None:
            return (self.classes[self.positive],)
        return self.classes if len(self.classes) <= ONE_VS_REST_CLASSES else ()


@dataclass(frozen=True)
class Scored:
    """Predictions for N rows, with what the metrics need of the scores.

    Args:
        predicted: int64[N], class indices; 0 where a row is bad.
        probabilities: of N rows and C classes; None for labels.
        log_odds: float64[N, K], one column a curve.
        bad: reason → bool[N], rows without a usable score.
    """

    predicted: NDArray[np.int64]
    probabilities: Probabilities | None
    log_odds: NDArray[np.float64]
    bad: dict[str, NDArray[np.bool_]]

    def select(self, rows: Index) -> Scored:
        """Some of the rows, none of them bad."""
        probabilities = None if self.probabilities is None else self.probabilities.select(rows)
        return Scored(self.predicted[rows], probabilities, self.log_odds[rows], {})


def choose_output(outputs: Sequence[TensorSpec], graph: Graph, name: str | None, kind: str | None) -> Output:
    """Pick the output to evaluate.

    Raises:
        ModelError: if the job names none that there is, or none can be picked.
    """
    spec = _named(outputs, name) if name is not None else _only(outputs)
    if spec.dtype == "bfloat16":
        raise ModelError(
            f"output `{spec}` of the model is bfloat16, which NumPy does not have; end the graph with a Cast."
        )
    if not spec.dtype.startswith(("float", "int", "uint", "string")):
        raise ModelError(
            f"output `{spec}` of the model holds no scores or labels; name another in `model.output.name`."
        )
    if spec.dtype.startswith("float") and graph.final_ops.get(spec.name) == BINARY_SVM:
        raise ModelError(
            f"output `{spec}` of the model holds the decision values of a binary SVM, whose sign ONNX Runtime gives "
            "against its own labels. Train it with probabilities, or name the output of labels in `model.output.name`."
        )
    columns = 1 if len(spec.shape) == 1 else spec.shape[1] if len(spec.shape) == 2 else None
    names = graph.class_names.get(spec.name)
    named = names is not None and spec.dtype.startswith("float")
    by_graph = "probabilities" if named else _kind_by_graph(spec, graph.final_ops.get(spec.name, ""), columns)
    own = None if (kind or by_graph) == "label" else _own_label(outputs, spec, graph)
    return Output(
        spec.name, kind or by_graph, columns, "job" if kind else "graph" if by_graph else "values", names, own
    )


def _own_label(outputs: Sequence[TensorSpec], chosen: TensorSpec, graph: Graph) -> str | None:
    """The one other output that holds a label a row, as classifiers of scikit-learn and LightGBM have it.

    The converter of LightGBM declares one label in all, whatever the batch: there the classifier behind it tells.
    """
    labels = []
    for spec in outputs:
        alike = spec.shape[:1] == chosen.shape[:1] != ()
        classified = spec.shape == (1,) and graph.final_ops.get(spec.name) in CLASSIFIERS
        shaped = spec.shape[1:] in ((), (1,)) and (alike or classified)
        if spec is not chosen and shaped and spec.dtype.startswith(("int", "string")):
            labels.append(spec.name)
    return labels[0] if len(labels) == 1 else None


def _named(outputs: Sequence[TensorSpec], name: str) -> TensorSpec:
    for spec in outputs:
        if spec.name == name:
            return spec
    raise ModelError(f"model.output.name: the model has no output `{name}`; it has {_list(outputs)}.")


def _only(outputs: Sequence[TensorSpec]) -> TensorSpec:
    tensors = [spec for spec in outputs if spec.dtype.startswith("float")]
    if len(tensors) == 1:
        return tensors[0]
    if len(outputs) == 1:
        return outputs[0]
    raise ModelError(f"the model has several outputs; say which one in `model.output.name`: {_list(outputs)}.")


def _kind_by_graph(spec: TensorSpec, op: str, columns: int | None) -> str | None:
    if op == "ArgMax" or not spec.dtype.startswith("float"):
        return "label"
    if op == "Sigmoid" and columns is not None and columns > 1:
        raise ModelError(
            f"output `{spec}` of the model is a sigmoid over {columns} columns: this is a multilabel model; ortbatch "
            "evaluates binary and multiclass models."
        )
    return {"Softmax": "probabilities", "Sigmoid": "probabilities", "LogSoftmax": "logits"}.get(op)


def settle_output(output: Output, values: NDArray[Any]) -> Output:
    """Fill in what only real rows tell: the number of columns, and the kind where the graph is silent.

    Args:
        output: as chosen.
        values: what the model put out for some rows, its first dimension the rows.

    Raises:
        ModelError: if the values are not scores of a binary or multiclass task.
    """
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] == 0):
        raise ModelError(
            f"output `{output.name}` of the model has shape {list(values.shape)} for {len(values)} rows; expected "
            "[rows] or [rows, classes]."
        )
    columns = 1 if values.ndim == 1 else values.shape[1]
    if output.kind == "label" and columns != 1:
        raise ModelError(
            f"output `{output.name}` gives {columns} labels a row: a multilabel model is not supported; name "
            "another output."
        )
    if output.names is not None and output.kind != "label":
        output = _settle_names(output, values, columns)
    return replace(output, columns=columns, kind=output.kind or _kind_by_values(output.name, values, columns))


def _settle_names(output: Output, values: NDArray[Any], columns: int) -> Output:
    """Hold named columns against what is there: as many columns as names, and no raw scores behind the names.

    A converter names the columns of raw scores like those of probabilities (`raw_scores` of skl2onnx).
    """
    names = output.names or ()
    if max(2, columns) != len(names):
        raise ModelError(
            f"output `{output.name}` has {columns} columns, and the model names {len(names)} classes for it: "
            f"{', '.join(names[:10])}. Export the model again."
        )
    finite = _finite_rows(values)
    if output.inferred == "graph" and ((finite < -_RANGE_TOLERANCE) | (finite > 1 + _RANGE_TOLERANCE)).any():
        return replace(output, kind=None, inferred="values")
    return output


def _finite_rows(values: NDArray[Any]) -> NDArray[np.float64]:
    finite: NDArray[np.float64] = values[np.isfinite(values).reshape(len(values), -1).all(axis=1)].astype(np.float64)
    return finite


def _kind_by_values(name: str, values: NDArray[Any], columns: int) -> str:
    finite = _finite_rows(values)
    if not finite.size:
        raise ModelError(
            f"output `{name}` is not finite for any of {len(values)} rows that were tried, so nothing tells logits "
            "from probabilities. Look at the features, or say `model: {output: {kind: logits}}` or `probabilities`."
        )
    unit = bool(((finite >= 0) & (finite <= 1 + _RANGE_TOLERANCE)).all())
    if not unit:
        return "logits"
    if columns == 1 or bool((np.abs(finite.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()):
        return "probabilities"
    raise ModelError(
        f"output `{name}` has {columns} values between 0 and 1 a row that do not add up to 1: a multilabel model? "
        "ortbatch evaluates binary and multiclass ones. If they are logits, say `model: {output: {kind: logits}}`."
    )


def score(decision: Decision, raw: NDArray[Any]) -> Scored:
    """Predictions and scores of raw model outputs [N], [N, 1] or [N, C] of any numeric dtype."""
    values = raw.reshape(len(raw), -1)
    if decision.output.kind == "label":
        return _labels(decision, values[:, 0])
    if decision.positive is not None and decision.output.kind == "logits":
        log_odds = _log_odds(values, decision.positive)
        # What is finite here was finite there; what is not is looked into below.
        if log_odds.size and np.isfinite(log_odds.min()) and np.isfinite(log_odds.max()):
            return _by_log_odds(decision, decision.positive, log_odds, {})
    bad = _not_finite(values)
    if not bad and decision.positive is None and decision.output.kind == "logits":
        with np.errstate(divide="ignore", over="ignore"):
            return _multiclass_logits(decision, values, {})
    wide = values.astype(np.float64)
    if decision.output.kind == "probabilities":
        bad = _no_probabilities(wide, bad)
    for mask in bad.values():
        wide[mask] = 0.5
    with np.errstate(divide="ignore", over="ignore"):
        if decision.positive is not None:
            return _binary(decision, decision.positive, wide, bad)
        return _multiclass(decision, wide, bad)


def _labels(decision: Decision, values: NDArray[Any]) -> Scored:
    place = decision.places(values)
    unknown = np.asarray(place < 0)
    bad = {UNKNOWN_PREDICTION: unknown} if unknown.any() else {}
    return Scored(np.where(unknown, 0, place), None, np.empty((len(values), 0)), bad)


def _binary(decision: Decision, positive: int, wide: NDArray[np.float64], bad: dict[str, NDArray[np.bool_]]) -> Scored:
    if decision.output.kind == "logits":
        return _by_log_odds(decision, positive, _log_odds(wide, positive), bad)
    other = 1 - positive
    if wide.shape[1] == 1:
        pair = np.column_stack([1 - wide[:, 0], wide[:, 0]])
        log_odds = (np.log(wide[:, 0]) - np.log1p(-wide[:, 0])) * (1 if positive == 1 else -1)
    else:
        pair = wide
        log_odds = np.log(wide[:, positive]) - np.log(wide[:, other])
    predicted = np.where(pair[:, positive] >= decision.threshold, positive, other)
    return Scored(predicted, Table(pair, positive), log_odds[:, None], bad)


def _log_odds(logits: NDArray[Any], positive: int) -> NDArray[np.float64]:
    """Of the positive class, from logits of both classes or of the second."""
    if logits.shape[1] == 1:
        second: NDArray[np.float64] = logits[:, 0].astype(np.float64)
        return second if positive == 1 else -second
    with np.errstate(over="ignore", invalid="ignore"):
        difference: NDArray[np.float64] = np.subtract(logits[:, positive], logits[:, 1 - positive], dtype=np.float64)
    return difference


def _by_log_odds(
    decision: Decision, positive: int, log_odds: NDArray[np.float64], bad: dict[str, NDArray[np.bool_]]
) -> Scored:
    above = at_least(log_odds, decision.threshold)
    predicted = (above if positive == 1 else ~above).astype(np.int64)
    return Scored(predicted, LogOdds(log_odds, positive), log_odds[:, None], bad)


def _multiclass(decision: Decision, wide: NDArray[np.float64], bad: dict[str, NDArray[np.bool_]]) -> Scored:
    if decision.output.kind == "logits":
        return _multiclass_logits(decision, wide, bad)
    predicted = np.argmax(wide, axis=1).astype(np.int64)
    log_odds = np.log(wide) - np.log1p(-wide) if decision.curves else np.empty((len(wide), 0))
    return Scored(predicted, Table(wide, None), log_odds, bad)


def _multiclass_logits(decision: Decision, logits: NDArray[Any], bad: dict[str, NDArray[np.bool_]]) -> Scored:
    """Of finite logits [N, C] of any float type; all arithmetic is float64."""
    predicted, rows = np.argmax(logits, axis=1).astype(np.int64), np.arange(len(logits))
    shifted = logits.astype(np.float64)
    shifted -= shifted[rows, predicted][:, None]
    if not decision.curves:
        weights = np.exp(shifted, out=shifted)
        return Scored(predicted, Softmax(weights, weights.sum(axis=1)), np.empty((len(logits), 0)), bad)
    weights = np.exp(shifted)
    total = weights.sum(axis=1, keepdims=True)
    probabilities = weights / total
    # The rest of the largest class is summed without it: 1 - p would lose every digit there.
    rest = total - weights
    weights[rows, predicted] = 0
    rest[rows, predicted] = weights.sum(axis=1)
    log_rest = np.log(rest)
    far = np.flatnonzero(rest[rows, predicted] < _NEAR_UNDERFLOW)
    if far.size:
        others = shifted[far]
        others[np.arange(far.size), predicted[far]] = -np.inf
        log_rest[far, predicted[far]] = np.logaddexp.reduce(others, axis=1)
    return Scored(predicted, Table(probabilities, None), shifted - log_rest, bad)


def _not_finite(wide: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    if np.isfinite(wide).all():
        return {}
    nan = np.asarray(np.isnan(wide).any(axis=1))
    infinite = np.asarray(np.isinf(wide).any(axis=1) & ~nan)
    return {reason: mask for reason, mask in ((NAN_SCORE, nan), (INFINITE_SCORE, infinite)) if mask.any()}


def _no_probabilities(wide: NDArray[np.float64], bad: dict[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """Add rows outside [0, 1], and rows that are 0 for every class and have no odds; clips float noise in place."""
    outside = np.asarray(((wide < -_RANGE_TOLERANCE) | (wide > 1 + _RANGE_TOLERANCE)).any(axis=1))
    np.clip(wide, 0.0, 1.0, out=wide)
    zero = ~wide.any(axis=1) & ~outside if wide.shape[1] > 1 else np.zeros_like(outside)
    for mask in bad.values():
        outside, zero = outside & ~mask, zero & ~mask
    if zero.any():
        bad = {**bad, NAN_SCORE: bad[NAN_SCORE] | zero if NAN_SCORE in bad else zero}
    return {**bad, SCORE_OUT_OF_RANGE: outside} if outside.any() else bad


def _list(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"`{spec}`" for spec in specs)
