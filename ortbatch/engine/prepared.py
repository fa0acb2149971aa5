"""A job that can run, and the identity of what it gives: all that workers and report are given; frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import onnxruntime
import pyarrow as pa

from ortbatch.data.binding import TensorSpec
from ortbatch.data.plan import Plan
from ortbatch.engine.evaluation import DecodedRows, Evaluation
from ortbatch.engine.joining import JoinFacts
from ortbatch.engine.layout import Work
from ortbatch.engine.predictions import Sink
from ortbatch.engine.probe import Dependence
from ortbatch.engine.sessions import SideModel
from ortbatch.engine.threads import THREADS
from ortbatch.job import Job
from ortbatch.metrics.slices import Cut
from ortbatch.model.graph import Graph
from ortbatch.model.source import ModelSource
from ortbatch.model.tuning import Tuning

__all__ = ["THREADS", "ModelFile", "Prepared", "PreparedBaseline", "Settled"]


@dataclass(frozen=True)
class ModelFile:
    """The model, and what its session says of it.

    Args:
        source: its files.
        inputs, outputs: what the session says.
        providers: execution providers of the session.
    """

    source: ModelSource
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    providers: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the model."""
        return self.source.sha256

    @property
    def graph(self) -> Graph:
        """What the file says of itself."""
        return self.source.graph


@dataclass(frozen=True)
class PreparedBaseline:
    """What is known of a baseline beside what workers are told.

    Args:
        model: its files.
        dependence: whether its rows depend on their batch; None where that was not tried.
        about: what the report says of it.
    """

    model: SideModel
    dependence: Dependence | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Settled:
    """What an earlier start of a run found out, for a later one of the same data to take over.

    Args:
        batch_size: that it ran at; None if that is not known.
        data: digest of its plan.
        cuts: its slices.
    """

    batch_size: int | None = None
    data: str = ""
    cuts: tuple[Cut, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A job that can run.

    Args:
        job: what was asked.
        model: the model file.
        plan: the frozen plan.
        schema: columns of the first file and its folders.
        evaluation: what workers are given.
        decoded: the first rows, decoded, by which it was checked.
        dependence: whether rows depend on their batch.
        batch_size_by: who chose the batch size: `job`, `model`, `rule`, `batch_dependent`, `tuned` or `folder` (the run
            that is in the folder already).
        tuning: how it was tuned, or why it was not.
        row_bytes: bytes of the inputs of one of the first rows.
        baselines: of those in `evaluation.baselines`, in their order.
        joined: how rows and stored scores met; None where a model is run.
    """

    job: Job
    model: ModelFile
    plan: Plan
    schema: pa.Schema
    evaluation: Evaluation
    decoded: DecodedRows
    dependence: Dependence
    batch_size_by: str
    tuning: Tuning
    row_bytes: int
    baselines: tuple[PreparedBaseline, ...] = ()
    joined: JoinFacts | None = None

    @property
    def model_bytes(self) -> int:
        """Bytes of all models that a worker loads."""
        return self.model.source.size + sum(baseline.model.size for baseline in self.baselines)

    @property
    def work(self) -> Work:
        """What there is to do, at the rate that was measured if the batch size was tuned."""
        files, timed = self.plan.files, {rung.rows: rung.rows_per_s for rung in self.tuning.rungs}
        share = self.plan.rows / max(1, sum(file.rows for file in files))
        rate = timed.get(self.evaluation.batch_size)
        size = int(share * sum(sum(file.group_bytes) for file in files))
        return Work(size, self.plan.rows, None if rate is None else rate / self.tuning.streams)

    @cached_property
    def evaluation_digest(self) -> str:
        """Sha256 of what the counts depend on: model, data plan, binding, output, threshold, slices."""
        decision, inputs = self.evaluation.decision, self.evaluation.inputs
        parts = {
            "model": self.model.sha256,
            "plan": self.plan.digest(),
            # How a thing was found is no part of what it is.
            "inputs": [asdict(replace(binding, how="", by_columns=False)) for binding in inputs.bound],
            "transform": None if inputs.transform is None else inputs.transform.digest,
            **({} if inputs.join is None else {"join": inputs.join.column}),
            "labels": asdict(self.evaluation.labels),
            "filter": self.evaluation.terms,
            "unlabelled": self.evaluation.score_unlabelled,
            "decision": asdict(replace(decision, output=replace(decision.output, inferred=""))),
            **({"slices": [asdict(cut) for cut in self.evaluation.cuts]} if self.evaluation.cuts else {}),
            **({"baselines": [b.identity() for b in self.evaluation.baselines]} if self.evaluation.baselines else {}),
        }
        return _digest(parts)

    @cached_property
    def identity(self) -> dict[str, str]:
        """What a shard's tally and predictions are a function of; two runs of one identity give the same."""
        kept = self.evaluation.kept
        return {
            "evaluation": self.evaluation_digest,
            "batch_size": str(self.evaluation.batch_size),
            "by_columns": ",".join(self.evaluation.inputs.by_columns),
            "threads": str(THREADS),
            "providers": ",".join(self.model.providers),
            "onnxruntime": onnxruntime.__version__,
            **({} if kept is None else {"predictions": _digest(kept.digest_parts())}),
        }

    def with_sink(self, folder: str, options: str, *, apart: bool = False) -> Prepared:
        """The same, with predictions going to a folder if the job asks for them.

        Args:
            folder: a path or URI.
            options: of the URI, with its `?`.
            apart: is it none of the run's own?
        """
        if self.evaluation.kept is None:
            return self
        about = {"ortbatch.model_sha256": self.model.sha256, "ortbatch.evaluation_digest": self.evaluation_digest}
        sink = Sink(folder, options, _digest(self.identity), about, self._scored(), apart)
        return replace(self, evaluation=replace(self.evaluation, sink=sink))

    def _scored(self) -> dict[str, Any]:
        """What a later join needs to know of the scores."""
        decision = self.evaluation.decision
        return {
            "kind": decision.output.kind,
            "columns": decision.output.columns,
            "classes": list(decision.classes),
            "positive": decision.positive,
            "threshold": decision.threshold,
        }


def _digest(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
