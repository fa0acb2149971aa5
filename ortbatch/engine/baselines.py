"""Baselines: other models on the same rows, as every worker is told of them, and what one of them says of some rows.

Fed the model's own feed where they take the same inputs, else by a binding of their own; a function is given columns,
and stored scores are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.labels import Labels
from ortbatch.data.transform import Transform
from ortbatch.engine.feeder import Inputs
from ortbatch.model.outputs import Decision


@dataclass(frozen=True)
class Baseline:
    """One of them.

    Args:
        name: as the job calls it.
        kind: `onnx`, `torch`, `function` or `scores`.
        decision: how its scores become predictions; its classes are those of the model.
        sha256: of the model's files, or of the function's source; empty for stored scores.
        inputs: how columns feed it; None: it takes the model's feed, or none.
        turned: inputs of the model's feed that it takes column by column, as the model does.
        function: what is called with columns.
        stored: how predictions that stand in a column are read.
        order: columns of its output in the order of the classes; empty if they are in that order.
        of_positive: is its one column about the positive class, though that is the first?
    """

    name: str
    kind: str
    decision: Decision
    sha256: str = ""
    inputs: Inputs | None = None
    turned: tuple[str, ...] = ()
    function: Transform | None = None
    stored: Labels | None = None
    order: tuple[int, ...] = ()
    of_positive: bool = False

    @property
    def columns(self) -> list[str]:
        """Columns that it reads by itself, each once."""
        fed = self.inputs.columns if self.inputs is not None else []
        called = self.function.columns if self.function is not None else ()
        stored = [self.stored.column] if self.stored is not None else []
        return list(dict.fromkeys([*fed, *called, *stored]))

    @property
    def takes_the_models_feed(self) -> bool:
        """Is it fed what the model is fed?"""
        return self.inputs is None and self.function is None and self.stored is None

    def identity(self) -> dict[str, Any]:
        """What its counts are a function of; how a thing was found is no part of what it is."""
        inputs = self.inputs or Inputs(())
        return {
            "name": self.name,
            "kind": self.kind,
            "sha256": self.sha256,
            "decision": asdict(replace(self.decision, output=replace(self.decision.output, inferred=""))),
            "inputs": [asdict(replace(binding, how="", by_columns=False)) for binding in inputs.bound],
            "transform": None if inputs.transform is None else inputs.transform.digest,
            "function": None if self.function is None else self.function.digest,
            "stored": None if self.stored is None else asdict(self.stored),
            "order": list(self.order),
            "of_positive": self.of_positive,
        }

    def in_order(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Its output [N], [N, 1] or [N, C] as scores [N, K] in the order of the classes, or class indices int64[N]."""
        output, positive = self.decision.output, self.decision.positive
        if output.kind == "label":
            return self.decision.places(raw.reshape(-1))
        scores = raw.reshape(len(raw), -1)
        if self.of_positive and positive == 0:
            return 1 - scores if output.kind == "probabilities" else -scores
        return scores[:, list(self.order)] if self.order else scores


@dataclass(frozen=True)
class Beheld:
    """What a baseline said of N rows.

    Args:
        raw: scores [N, K] in the order of the classes, NaN where it gave none; or class indices int64[N], -1 for none.
        why: uint8[N], 0 for a row that it was asked about, else 1 + the place of the reason in `reasons`; None: all
            were.
        reasons: words for those.
        latencies: nanoseconds of each of its runs.
    """

    raw: NDArray[Any]
    why: NDArray[np.uint8] | None
    reasons: Sequence[str]
    latencies: Sequence[int]
