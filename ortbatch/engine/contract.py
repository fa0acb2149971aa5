"""What every file must hold: the columns that feed the model, by name and type, as the first file has them."""

from __future__ import annotations

import pyarrow as pa

from ortbatch.data.binding import TensorSpec, bind_inputs, check_columns
from ortbatch.data.filters import check_terms
from ortbatch.data.labels import check_label_type, label_family
from ortbatch.data.slices import check_sliceable, slice_family
from ortbatch.data.storage import reason_of
from ortbatch.data.transform import Transform
from ortbatch.engine.feeder import Inputs
from ortbatch.errors import Complaints, DataError
from ortbatch.job import Job
from ortbatch.job.redaction import redact


class Contract:
    """Binds the inputs by the first schema that it sees, and holds every other schema to that.

    Without `inputs`, of a model that cannot be loaded, all else is checked.
    """

    def __init__(self, job: Job, inputs: tuple[TensorSpec, ...] | None, transform: Transform | None) -> None:
        self._job = job
        self._specs = inputs
        self._transform = transform
        self.schema: pa.Schema | None = None
        self.inputs = Inputs(())

    def __call__(self, where: str, schema: pa.Schema) -> None:
        """Check a schema; raises DataError, or PreflightError with all that is wrong with it."""
        where, label, complaints = redact(where), self._job.data.label, Complaints()
        first = self.schema is None
        with complaints.heard():
            check_columns((), schema, label, where)
            check_label_type(schema.field(label))
            self._check_label_family(where, schema)
        # By default all numbers but the label are features, so without the label nothing can be said of them.
        if first and self._specs is not None and (self._job.model.inputs or label in schema.names):
            with complaints.heard():
                self.inputs = self._bind(self._specs, schema, label)
        with complaints.heard():
            check_columns(self.inputs.bound, schema, None, where)
        with complaints.heard():
            self._check_transform(schema, where)
        with complaints.heard():
            check_terms(schema, self._job.data.filter or (), where)
        with complaints.heard():
            self._check_kept(schema, where)
        with complaints.heard():
            self._check_slices(schema, where)
        self.schema = self.schema or schema
        complaints.raise_all()

    def _check_label_family(self, where: str, schema: pa.Schema) -> None:
        label = self._job.data.label
        if self.schema is None or len(self.schema.get_all_field_indices(label)) != 1:
            return
        first, other = (label_family(s.field(label).type) for s in (self.schema, schema))
        if first != other:
            raise DataError(
                f"{where}: label column `{label}` holds {schema.field(label).type}; in the first file it holds "
                f"{self.schema.field(label).type}. Write both alike."
            )

    def _bind(self, specs: tuple[TensorSpec, ...], schema: pa.Schema, label: str) -> Inputs:
        """Inputs that the job names are fed by columns; with a transform, it feeds the others."""
        given = self._job.model.inputs or {}
        if self._transform is None:
            return Inputs(bind_inputs(specs, schema, given, label, self._names, self._kept))
        made = tuple(spec for spec in specs if spec.name not in given)
        if not made:
            raise DataError(
                "model.transform has nothing to feed: `model.inputs` names columns for every input. Take one "
                "of them out."
            )
        bound = tuple(spec for spec in specs if spec.name in given)
        return Inputs(bind_inputs(bound, schema, given, label, self._names), self._transform, made)

    def _names(self, path: str) -> list[str]:
        """Lines of a file of column names beside the job file."""
        try:
            return (self._job.folder / path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"model.inputs: {path}: cannot be read: {reason_of(error)}; put it beside the job"
            ) from None

    @property
    def _kept(self) -> tuple[str, ...]:
        """Columns that are written beside the predictions."""
        return self._job.predictions.columns if self._job.predictions is not None else ()

    def kept_fields(self) -> pa.Schema:
        """The same as they are written: values of dictionaries as they are, nothing may be null or not by promise."""
        assert self.schema is not None
        return pa.schema([pa.field(name, _plain(self.schema.field(name).type)) for name in self._kept])

    def _check_kept(self, schema: pa.Schema, where: str) -> None:
        missing = [name for name in self._kept if len(schema.get_all_field_indices(name)) != 1]
        if missing:
            raise DataError(
                f"{where}: predictions.columns asks for {', '.join(missing)}; columns: {', '.join(schema.names[:20])}."
            )
        known = self.schema or schema
        for name in self._kept:
            first, other = _plain(known.field(name).type), _plain(schema.field(name).type)
            if first != other:
                raise DataError(
                    f"{where}: column `{name}` of predictions.columns holds {other}; in the first file it holds "
                    f"{first}. Write both alike."
                )

    def _check_slices(self, schema: pa.Schema, where: str) -> None:
        """Every file has the columns that cut the rows, and they hold the same."""
        asked = [(name, spec.bins is not None) for spec in self._job.slices for name in spec.column]
        missing = dict.fromkeys(name for name, _ in asked if len(schema.get_all_field_indices(name)) != 1)
        if missing:
            raise DataError(
                f"{where}: slices ask for {', '.join(missing)}; columns: {', '.join(schema.names[:20])}."
            )  # fmt: skip
        known = self.schema or schema
        for name, by_bins in asked:
            check_sliceable(schema.field(name), where, by_bins=by_bins)
            # What is missing in the first file, or there twice, was told of it.
            if len(known.get_all_field_indices(name)) != 1:
                continue
            first, other = known.field(name).type, schema.field(name).type
            if slice_family(first) != slice_family(other):
                raise DataError(
                    f"{where}: column `{name}` of slices holds {other}; in the first file it holds {first}. Write both "
                    "alike."
                )

    def _check_transform(self, schema: pa.Schema, where: str) -> None:
        columns = self._transform.columns if self._transform is not None else ()
        missing = [name for name in columns if len(schema.get_all_field_indices(name)) != 1]
        if missing:
            raise DataError(
                f"{where}: model.transform reads {', '.join(missing)}; columns: {', '.join(schema.names[:20])}."
            )


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
