"""What every file must hold: the columns that feed the model, by name and type, as the first file has them."""

from __future__ import annotations

import pyarrow as pa

from ortbatch.data.binding import TensorSpec, bind_inputs, check_columns
from ortbatch.data.filters import check_terms
from ortbatch.data.labels import label_family
from ortbatch.data.transform import Transform
from ortbatch.engine.feeder import Inputs
from ortbatch.errors import DataError
from ortbatch.job import Job
from ortbatch.job.redaction import redact


class Contract:
    """Binds the inputs by the first schema that it sees, and holds every other schema to that."""

    def __init__(self, job: Job, inputs: tuple[TensorSpec, ...], transform: Transform | None) -> None:
        self._job = job
        self._specs = inputs
        self._transform = transform
        self.schema: pa.Schema | None = None
        self.inputs = Inputs(())

    def __call__(self, where: str, schema: pa.Schema) -> None:
        label = self._job.data.label
        if self.schema is None:
            check_columns((), schema, label, redact(where))
            self.inputs = self._bind(schema, label)
        check_columns(self.inputs.bound, schema, label, redact(where))
        self._check_transform(schema, redact(where))
        check_terms(schema, self._job.data.filter or (), redact(where))
        if self.schema is None:
            self.schema = schema
        first, other = (label_family(s.field(label).type) for s in (self.schema, schema))
        if first != other:
            raise DataError(
                f"{redact(where)}: label column `{label}` holds {schema.field(label).type}; in the first file it holds "
                f"{self.schema.field(label).type}. Write both alike."
            )

    def _bind(self, schema: pa.Schema, label: str) -> Inputs:
        """Inputs that the job names are fed by columns; with a transform, it feeds the others."""
        given = self._job.model.inputs or {}
        if self._transform is None:
            return Inputs(bind_inputs(self._specs, schema, given, label, self._names))
        made = tuple(spec for spec in self._specs if spec.name not in given)
        if not made:
            raise DataError("model.transform has nothing to feed: `model.inputs` names columns for every input.")
        bound = tuple(spec for spec in self._specs if spec.name in given)
        return Inputs(bind_inputs(bound, schema, given, label, self._names), self._transform, made)

    def _names(self, path: str) -> list[str]:
        """Lines of a file of column names beside the job file."""
        try:
            return (self._job.folder / path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"model.inputs: {path}: cannot be read: {error}") from None

    def _check_transform(self, schema: pa.Schema, where: str) -> None:
        columns = self._transform.columns if self._transform is not None else ()
        missing = [name for name in columns if len(schema.get_all_field_indices(name)) != 1]
        if missing:
            raise DataError(
                f"{where}: model.transform reads {', '.join(missing)}; columns: {', '.join(schema.names[:20])}."
            )
