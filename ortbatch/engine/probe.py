"""The first rows through the model: what the graph does not say is read from what it puts out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import INEXACT_VALUE, WRONG_LENGTH, one_chunk, to_numpy
from ortbatch.data.features import new_buffers
from ortbatch.data.filters import Term, matching
from ortbatch.data.lists import lengths_of
from ortbatch.data.plan import Plan, Shard
from ortbatch.data.reader import read_shard
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.errors import DataError, ModelError
from ortbatch.model.outputs import Decision, Output, score
from ortbatch.model.session import OnnxModel, Predictor

PREFLIGHT_ROWS = 256
_PLACES = 16
_ODD_BATCH = 7
_ALONE_SECONDS = 1.0
_PROBED_BYTES = 2 << 20
_PROBED_AT_LEAST = 8


def first_rows(plan: Plan, inputs: Inputs, label: str, terms: Sequence[Term], others: Sequence[str] = ()) -> pa.Table:
    """The first rows that the filter lets through; where none of them can be used, some further on.

    A run counts bad rows wherever they are, so a bad start must not end it.

    Args:
        plan: what is read.
        inputs: of the model.
        label: the label column.
        terms: the filter.
        others: columns to read beside these.

    Raises:
        DataError: if no row meets the filter.
    """
    columns = list(dict.fromkeys([*inputs.columns, label, *(column for column, _, _ in terms), *others]))
    tables: list[pa.Table] = []
    for table in _tables(plan.shards, columns, terms):
        # Files may differ in integer width and the like: the first of a kind are enough.
        if tables and table.schema != tables[0].schema:
            break
        tables.append(table.slice(0, PREFLIGHT_ROWS - sum(table.num_rows for table in tables)))
        if sum(table.num_rows for table in tables) >= PREFLIGHT_ROWS:
            break
    if not tables:
        raise DataError(
            f"data.filter: none of {plan.rows:,} rows meets {[list(term) for term in terms]}. Look at its "
            "values and their types."
        )
    first = pa.concat_tables(tables)
    if _usable(inputs, label, first).any():
        return first
    for table in _tables(plan.shards[:: -(-len(plan.shards) // _PLACES)], columns, terms):
        usable = np.flatnonzero(_usable(inputs, label, table))
        if usable.size:
            return table.slice(int(usable[0]), PREFLIGHT_ROWS)
    return first


def _tables(shards: Sequence[Shard], columns: list[str], terms: Sequence[Term]) -> Iterator[pa.Table]:
    """Decoded blocks, without the rows that the filter leaves out."""
    for block in (block for shard in shards for block in read_shard(shard, columns)):
        table = block.table.filter(pa.array(matching(block.table, terms))) if terms else block.table
        if table.num_rows:
            yield table


def _usable(inputs: Inputs, label: str, table: pa.Table) -> NDArray[np.bool_]:
    """Which rows have features that can be used, and a label."""
    good = ~to_numpy(one_chunk(table.column(label).is_null(nan_is_null=True)))
    for mask in Feeder(inputs, table).bad.values():
        good = good & ~mask
    return good


def usable_features(inputs: Inputs, table: pa.Table) -> Feeder:
    """Features of the rows that have good ones.

    Raises:
        DataError: if a value does not fit the model's input type, or no row is good.
    """
    features = Feeder(inputs, table)
    good = np.ones(features.rows, np.bool_)
    for mask in features.bad.values():
        good &= ~mask
    inexact = features.bad.get(INEXACT_VALUE)
    if inexact is not None and not all(binding.cast.lossy for binding in inputs.bound):
        raise DataError(
            f"row {int(np.flatnonzero(inexact)[0])} of the data holds a number that the model's input type cannot hold "
            f"exactly. Columns: {_some_columns(inputs.bound)}. Allow rounding with `cast: lossy` in `model.inputs`."
        )
    if not good.any():
        reasons = ", ".join(sorted(features.bad))
        hint = _wrong_length(inputs.bound, table) if WRONG_LENGTH in features.bad else ""
        raise DataError(
            f"none of the first {features.rows} rows has usable features ({reasons}){hint}. Look at these columns."
        )
    table = table.select(inputs.columns)
    if not good.all():
        features.keep(np.flatnonzero(good))
        table = table.take(pa.array(np.flatnonzero(good)))
    return _transformable(inputs, table, features)


def _transformable(inputs: Inputs, table: pa.Table, features: Feeder) -> Feeder:
    """The rows that the transform can do.

    Raises:
        DataError: with what it raises, if it can do none.
    """
    _, good = features.batch(0, features.rows, new_buffers(inputs.bound, features.rows))
    if good is None or inputs.transform is None:
        return features
    if not good.size:
        batch = table.select(inputs.transform.columns).combine_chunks().to_batches()[0]
        raise DataError(
            f"model.transform {inputs.transform.function} raises on every one of the first {features.rows} rows; "
            f"on the first: {inputs.transform.first_error(batch)}. Run it on that row to see why."
        )
    return features.select(good)


def affordable(features: Feeder, row_bytes: int) -> Feeder:
    """The first of these rows, fewer the larger they are: a model of images takes 50 ms for one, and is run on all.

    A function of the rows alone: what is settled by them must not depend on how fast the machine is.
    """
    rows = max(_PROBED_AT_LEAST, _PROBED_BYTES // max(1, row_bytes))
    return features if rows >= features.rows else features.select(np.arange(rows))


def run_in_batches(model: Predictor, output: Output, inputs: Inputs, features: Feeder, batch_size: int) -> NDArray[Any]:
    """Raw outputs of all rows, in batches of a size; the model's own if that is fixed."""
    step = model.fixed_batch or batch_size
    buffers, parts = new_buffers(inputs.bound, step), []
    for start in range(0, features.rows, step):
        stop = min(start + step, features.rows)
        (raw,) = model.run([output.name], features.batch(start, stop, buffers)[0])
        if raw.ndim == 0 or len(raw) != stop - start:
            raise ModelError(
                f"output `{output.name}` has shape {list(raw.shape)} for a batch of {stop - start} rows; its first "
                "dimension must be the batch. Export it so."
            )
        parts.append(raw)
    return np.concatenate(parts)


def without_loose_label(model: OnnxModel, output: Output, inputs: Inputs, features: Feeder) -> Output:
    """Forget an output beside the scores that turns out not to hold one label a row."""
    if output.own_label is None:
        return output
    rows = min(features.rows, model.fixed_batch or _ODD_BATCH)
    own = model.run(output.reads, features.batch(0, rows, new_buffers(inputs.bound, rows))[0])[1]
    return output if own.shape in ((rows,), (rows, 1)) else replace(output, own_label=None)


@dataclass(frozen=True)
class Dependence:
    """Does what a row gets depend on the rows beside it?

    Args:
        labels: rows whose prediction changes with the batch; of how many.
        scores: does any output change, be it in its last bit?
        dynamic: does the graph say that it quantises by the range of the batch?
    """

    rows: int
    labels: int
    scores: bool
    dynamic: bool = False

    @property
    def matters(self) -> bool:
        """Will labels change? If none did here but the cause is known, among more rows some will."""
        return bool(self.labels) or (self.dynamic and self.scores)


def batch_dependence(
    model: Predictor, decision: Decision, inputs: Inputs, features: Feeder, batch_size: int
) -> Dependence:
    """Run rows alone, in sevens and in whole batches of other company, and compare.

    Stops early for a slow model: a second is enough to see what changes a label in a percent of the rows.
    """
    names, probed = decision.output, features
    whole = run_in_batches(model, names, inputs, probed, batch_size)
    variants = [run_in_batches(model, names, inputs, probed, _ODD_BATCH)]
    if batch_size > 1:
        # Else the rows are alone already, and in no company that could be another.
        places = np.arange(probed.rows)
        variants.append(run_in_batches(model, names, inputs, probed.select(places[::-1]), batch_size)[::-1])
        alone: list[NDArray[Any]] = []
        deadline = time.monotonic() + _ALONE_SECONDS
        while len(alone) < probed.rows and time.monotonic() < deadline:
            alone.append(run_in_batches(model, names, inputs, probed.select(places[len(alone) : len(alone) + 1]), 1))
        variants.append(np.concatenate([*alone, whole[len(alone) :]]))
    labels = score(decision, whole).predicted
    changed = np.zeros(probed.rows, np.bool_)
    for variant in variants:
        changed |= score(decision, variant).predicted != labels
    differs = any(not np.array_equal(variant, whole) for variant in variants)
    return Dependence(probed.rows, int(changed.sum()), differs)


def _wrong_length(inputs: tuple[InputBinding, ...], table: pa.Table) -> str:
    """Which lists there are in place of those that an input needs."""
    for binding in (binding for binding in inputs if binding.is_list):
        column = table.column(binding.columns[0])
        if len(lengths_of(column.type)) > 1:
            held = "×".join(map(str, _dimensions(column.drop_null()[:1].to_pylist())[1:]))
            remedy = "write them in the order of the input's dimensions"
        else:
            lengths = pc.list_value_length(one_chunk(column)).drop_null().unique().to_pylist()
            held, remedy = ", ".join(map(str, sorted(lengths)[:5])), "`pad: 0` fills ragged lists up"
        shape = "×".join(map(str, binding.row_shape))
        return (
            f": column `{binding.columns[0]}` holds lists of {held}; input `{binding.name}` needs {binding.width} "
            f"({shape}); {remedy}"
        )
    return ""


def _dimensions(value: Any) -> list[int]:
    """Lengths of nested lists along their first items."""
    return [len(value), *(_dimensions(value[0]) if value else [])] if isinstance(value, list) else []


def _some_columns(inputs: tuple[InputBinding, ...]) -> str:
    names = [name for binding in inputs for name in binding.columns]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
