"""May inputs be fed column by column? Only if the outputs stay what they are, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ortbatch.data.features import new_buffers
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.model.columns import inputs_for_columns
from ortbatch.model.outputs import Output
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import ModelSource, load

_SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 255, 256, 1_000)
_ONLY_PROVIDER = ("CPUExecutionProvider",)


def provable_columns(
    source: ModelSource, model: OnnxModel, inputs: Inputs, output: Output, features: Feeder, batch_sizes: Sequence[int]
) -> tuple[str, ...]:
    """Inputs that gain by columns and with which the model puts out the same bits for real rows.

    Small batches are tried beside the given ones: they end every row group, and kernels treat them differently.

    Args:
        source: the model.
        model: its session, fed by rows.
        inputs: how it is fed.
        output: what is evaluated.
        features: real rows; repeated for batches of more.
        batch_sizes: rows of the batches that a run may use.
    """
    if inputs.transform is not None or model.fixed_batch or source.graph.external or model.providers != _ONLY_PROVIDER:
        return ()
    gaining = inputs_for_columns(source.graph.runs)
    names = tuple(b.name for b in inputs.bound if b.name in gaining and len(b.columns) == b.width > 1)
    if not names:
        return ()
    turned = load(source, model.providers, model.threads, names)
    sizes = sorted({*_SIZES, *batch_sizes})
    equal = all(_same_outputs(model, turned, inputs, names, output, features, size) for size in sizes)
    return names if equal else ()


def _same_outputs(
    model: OnnxModel, turned: OnnxModel, inputs: Inputs, names: Sequence[str], output: Output, features: Feeder,
    size: int,
) -> bool:  # fmt: skip
    rows = features.select(np.arange(size) % features.rows)
    by_rows, _ = rows.batch(0, size, new_buffers(inputs.bound, size))
    by_columns = {n: np.ascontiguousarray(a.T) if n in names else a for n, a in by_rows.items()}
    expected, got = model.run(output.reads, by_rows), turned.run(output.reads, by_columns)
    return all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(expected, got, strict=True)
    )
