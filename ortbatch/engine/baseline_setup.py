"""Preflight of baselines: opened beside the model, bound by the first schema, settled by the first rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.binding import TensorSpec, bind_inputs, check_columns
from ortbatch.data.columns import decoded, family, is_text
from ortbatch.data.features import new_buffers
from ortbatch.data.labels import bind_labels, check_label_type
from ortbatch.data.lists import is_list
from ortbatch.data.transform import Transform, read_transform
from ortbatch.engine.baselines import Baseline
from ortbatch.engine.beside import Stored
from ortbatch.engine.contract import Contract
from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.engine.prepared import ModelFile, PreparedBaseline
from ortbatch.engine.probe import affordable, batch_dependence, run_in_batches, usable_features
from ortbatch.engine.sessions import SideModel
from ortbatch.engine.threads import THREADS
from ortbatch.engine.turned import provable_columns
from ortbatch.errors import DataError, ModelError, PreflightError
from ortbatch.job import InputSpec, Job
from ortbatch.job.planned import Baseline as BaselineSpec
from ortbatch.job.planned import FunctionBaseline, OnnxBaseline, RunBaseline, ScoresBaseline, TorchBaseline
from ortbatch.job.redaction import redact
from ortbatch.model.outputs import Decision, Output, choose_output, settle_output
from ortbatch.model.session import OnnxModel, Predictor
from ortbatch.model.source import ModelSource, load, open_source
from ortbatch.model.torch_model import OUTPUT, TorchModel, TorchSource, open_torch

_INTEGERS = ("int", "bool")


@contextmanager
def _named(name: str) -> Iterator[None]:
    """What is wrong inside is wrong with this baseline."""
    try:
        yield
    except (ModelError, DataError) as error:
        raise type(error)(f"baseline {name}: {error}") from None
    except PreflightError as error:
        raise PreflightError([type(each)(f"baseline {name}: {each}") for each in error.errors]) from None


class Opened:
    """A baseline of the job while it is checked."""

    def __init__(self, job: Job, name: str, spec: BaselineSpec, model: ModelFile | None) -> None:
        """Open its files.

        Args:
            job: whose it is.
            name: of it.
            spec: what the job says of it.
            model: that is evaluated; None if it cannot be loaded.

        Raises:
            ModelError, DataError: if it cannot be opened.
        """
        self.name, self.spec = name, spec
        self._job, self._main = job, model
        self.source: ModelSource | TorchSource | None = None
        self.predictor: Predictor | None = None
        self.function: Transform | None = None
        self._contract: Contract | None = None
        self._inputs: Inputs | None = None
        with _named(name):
            self._open()

    def _open(self) -> None:
        job, spec = self._job, self.spec
        if isinstance(spec, OnnxBaseline):
            self.source = open_source(job.locate(spec.path), job.tracker)
            self.predictor = load(self.source, spec.providers, THREADS)
            if not self._takes_the_models_feed(self.predictor):
                transform = _transform(job, spec)
                own = job.model_copy(update={"model": spec, "slices": ()})
                self._contract = Contract(own, self.predictor.inputs, transform)
        elif isinstance(spec, TorchBaseline):
            factory = spec.factory and read_transform(spec.factory, (), (), job.folder, f"baselines.{self.name}")
            self.source = open_torch(job.locate(spec.weights or spec.torch), factory or None)
            if self._main is not None:
                self.predictor = TorchModel(self.source, [spec.name for spec in self._main.inputs], THREADS)
        elif isinstance(spec, FunctionBaseline):
            key = f"baselines.{self.name}"
            self.function = read_transform(spec.function, spec.columns or (), spec.files, job.folder, key)

    def _takes_the_models_feed(self, model: OnnxModel) -> bool:
        """Does it take inputs of the same names and types, and does the job say nothing else?"""
        assert isinstance(self.spec, OnnxBaseline)
        if self._main is None or self.spec.inputs is not None or self.spec.transform is not None:
            return False
        ours = {spec.name: spec for spec in self._main.inputs}
        return len(ours) == len(model.inputs) and all(
            spec.name in ours and spec.dtype == ours[spec.name].dtype and _alike(spec.shape, ours[spec.name].shape)
            for spec in model.inputs
        )

    def check(self, where: str, schema: pa.Schema, main: Inputs) -> None:
        """Hold a schema against it; the first one binds its columns. Raises DataError or PreflightError."""
        with _named(self.name):
            if self._contract is not None:
                self._contract(where, schema)
                self._inputs = self._contract.inputs
            elif self.function is not None:
                columns = self.function.columns or tuple(main.columns)
                self.function = replace(self.function, columns=columns)
                _require(columns, schema, redact(where))
            elif isinstance(self.spec, ScoresBaseline):
                self._check_stored(self.spec, redact(where), schema)

    def _check_stored(self, spec: ScoresBaseline, where: str, schema: pa.Schema) -> None:
        _require((spec.scores,), schema, where)
        field = schema.field(spec.scores)
        if holds_labels(field, spec.kind):
            check_label_type(field)
            return
        if self._inputs is None:
            columns = None if is_list(field.type) else 1
            tensor = TensorSpec(spec.scores, "float64", (None, columns))
            given = {spec.scores: InputSpec(column=spec.scores, cast="lossy")}
            self._inputs = Inputs(bind_inputs((tensor,), schema, given, self._job.data.label))
        check_columns(self._inputs.bound, schema, None, where)

    @property
    def columns(self) -> list[str]:
        """Columns that it reads by itself; known once a schema was checked."""
        stored = [self.spec.scores] if isinstance(self.spec, ScoresBaseline) else []
        called = self.function.columns if self.function is not None else ()
        return [*stored, *called, *(self._inputs.columns if self._inputs is not None else ())]

    def settle(self, evaluation: Evaluation, schema: pa.Schema, table: pa.Table) -> tuple[Baseline, PreparedBaseline]:
        """Send the first rows through it, and say how it goes on.

        Args:
            evaluation: of the model, as it is settled.
            schema: of the first file.
            table: the first rows.

        Raises:
            ModelError, DataError: if what it puts out is not about the model's classes.
        """
        with _named(self.name):
            if isinstance(self.spec, FunctionBaseline):
                return self._settled_function(self.spec, evaluation, table)
            if isinstance(self.spec, ScoresBaseline) and holds_labels(schema.field(self.spec.scores), self.spec.kind):
                return self._settled_labels(self.spec, evaluation, schema)
            return self._settled_model(evaluation, table)

    def _settled_model(self, evaluation: Evaluation, table: pa.Table) -> tuple[Baseline, PreparedBaseline]:
        """A session, or scores that stand in the data."""
        stored = isinstance(self.spec, ScoresBaseline)
        predictor = Stored() if stored else self.predictor
        assert predictor is not None
        inputs = self._inputs or evaluation.by_rows().inputs
        features = usable_features(inputs, table)
        features = affordable(features, _row_bytes(inputs, features))
        rows = evaluation.batch_size if predictor.fixed_batch is None else predictor.fixed_batch
        output = self._output()
        output = settle_output(output, run_in_batches(predictor, output, inputs, features, rows))
        output, order = _ordered(output, evaluation.decision)
        decision = replace(evaluation.decision, output=output)
        source = self.source
        turned: tuple[str, ...] = ()
        if isinstance(predictor, OnnxModel) and isinstance(source, ModelSource) and self._inputs is None:
            proven = provable_columns(source, predictor, inputs, output, features, [evaluation.batch_size])
            turned = tuple(name for name in evaluation.inputs.by_columns if name in proven)
        dependence = None
        if not stored and not order:
            dependence = batch_dependence(predictor, decision, inputs, features, rows)
        baseline = Baseline(
            self.name, _KINDS[type(self.spec)], decision, "" if source is None else source.sha256,
            self._inputs, turned, order=order, of_positive=stored and output.columns == 1,
        )  # fmt: skip
        main = () if self._main is None else tuple(spec.name for spec in self._main.inputs)
        side = SideModel(source, predictor.providers if isinstance(predictor, OnnxModel) else (), main)
        return baseline, PreparedBaseline(side, dependence, self._about(decision))

    def _output(self) -> Output:
        """What is asked of it, as far as the graph and the job say."""
        spec = self.spec
        if isinstance(spec, OnnxBaseline):
            assert isinstance(self.predictor, OnnxModel)
            assert isinstance(self.source, ModelSource)
            found = choose_output(self.predictor.outputs, self.source.graph, spec.output.name, spec.output.kind)
            return replace(found, own_label=None)
        assert isinstance(spec, TorchBaseline | ScoresBaseline)
        name = spec.scores if isinstance(spec, ScoresBaseline) else OUTPUT
        return Output(name, spec.kind, None, "job" if spec.kind else "values")

    def _settled_function(
        self, spec: FunctionBaseline, evaluation: Evaluation, table: pa.Table
    ) -> tuple[Baseline, PreparedBaseline]:
        assert self.function is not None
        batch = table.select(list(self.function.columns)).combine_chunks().to_batches()[0]
        made, good = self.function(batch)
        if good is not None and not good.size:
            said = self.function.first_error(batch)
            raise DataError(f"{spec.function} raises on every one of the first {batch.num_rows} rows; first: {said}")
        if len(made) != 1:
            raise DataError(
                f"{spec.function} returned {', '.join(made) or 'nothing'}; expected one array of labels or scores."
            )
        ((name, values),) = made.items()
        many = evaluation.decision.positive is None
        kind = spec.kind or ("label" if _are_labels(values, many=many) else None)
        output = settle_output(Output(name, kind, None, "job" if spec.kind else "values"), values)
        output, order = _ordered(output, evaluation.decision)
        decision = replace(evaluation.decision, output=output)
        baseline = Baseline(self.name, "function", decision, self.function.digest, function=self.function, order=order)
        return baseline, PreparedBaseline(SideModel(None), None, self._about(decision))

    def _settled_labels(
        self, spec: ScoresBaseline, evaluation: Evaluation, schema: pa.Schema
    ) -> tuple[Baseline, PreparedBaseline]:
        classes, asked = evaluation.decision.classes, self._job.data.label_is
        labels = bind_labels(schema.field(spec.scores), classes, asked, len(classes))
        decision = replace(
            evaluation.decision, output=Output(spec.scores, "label", 1, "job" if spec.kind else "values")
        )
        baseline = Baseline(self.name, "scores", decision, stored=labels)
        return baseline, PreparedBaseline(SideModel(None), None, self._about(decision))

    def _about(self, decision: Decision) -> dict[str, Any]:
        """What the report says of it."""
        spec, source = self.spec, self.source
        about: dict[str, Any] = {"output": decision.output.kind}
        if source is not None:
            about |= {"path": redact(source.where), "sha256": source.sha256, "bytes": source.size}
        if isinstance(spec, FunctionBaseline):
            about |= {"function": spec.function, "sha256": self.function.digest if self.function else ""}
        if isinstance(spec, ScoresBaseline):
            about |= {"column": spec.scores}
        return about


_KINDS = {OnnxBaseline: "onnx", TorchBaseline: "torch", FunctionBaseline: "function", ScoresBaseline: "scores"}


def is_model(spec: BaselineSpec) -> bool:
    """Is it one that sees the rows, and not an earlier run?"""
    return not isinstance(spec, RunBaseline)


def holds_labels(field: pa.Field, kind: str | None) -> bool:
    """Does a column of stored scores hold predictions?"""
    if kind is not None:
        return kind == "label"
    held = decoded(field.type)
    return is_text(held) or family(held) in _INTEGERS


def _are_labels(values: NDArray[Any], *, many: bool) -> bool:
    """Did a function return labels: text, whole numbers, or of many classes one whole number a row in floats?"""
    if values.dtype.kind in "OUSiub":
        return True
    single = values.ndim == 1 or values.shape[1:] == (1,)
    return many and single and bool(np.equal(np.mod(values, 1), 0).all())


def _ordered(output: Output, decision: Decision) -> tuple[Output, tuple[int, ...]]:
    """The same about the model's classes, and the order in which its columns are to be taken."""
    classes, names = decision.classes, output.names
    if output.classes is not None and output.classes != len(classes):
        raise ModelError(
            f"its output `{output.name}` scores {output.classes} classes, the model's {len(classes)}: "
            f"{', '.join(classes[:10])}. Take a baseline of the same classes."
        )
    if names is None or names == classes or names == tuple(map(str, range(len(names)))):
        return replace(output, names=None), ()
    if set(names) != set(classes):
        raise ModelError(
            f"it names the classes {', '.join(names[:10])}; take one of the model's: {', '.join(classes[:10])}."
        )
    if output.kind == "label":
        return replace(output, names=None), ()
    if output.columns != len(classes):
        raise ModelError(
            f"its one score is of class {names[1]}, the model's of {classes[1]}; export it with a column a class."
        )
    return replace(output, names=None), tuple(names.index(name) for name in classes)


def _alike(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    """Do two shapes differ in nothing but open dimensions and the batch?"""
    pairs = zip(one[1:], other[1:], strict=False)
    return len(one) == len(other) and all(a is None or b is None or a == b for a, b in pairs)


def _transform(job: Job, spec: OnnxBaseline) -> Transform | None:
    asked = spec.transform
    return None if asked is None else read_transform(asked.function, asked.columns, asked.files, job.folder)


def _row_bytes(inputs: Inputs, features: Feeder) -> int:
    together, _ = features.batch(0, features.rows, new_buffers(inputs.bound, features.rows))
    return max(1, sum(int(array.nbytes) for array in together.values()) // int(features.rows))


def _require(columns: tuple[str, ...], schema: pa.Schema, where: str) -> None:
    missing = [name for name in columns if len(schema.get_all_field_indices(name)) != 1]
    if missing:
        raise DataError(f"{where}: asks for {', '.join(missing)}; columns: {', '.join(schema.names[:20])}.")
