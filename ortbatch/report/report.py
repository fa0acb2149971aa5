"""A stored report, decoded: what `ortbatch.run` returns and what every later question is asked of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.errors import ReportError
from ortbatch.job.redaction import redact
from ortbatch.metrics.estimate import Estimate
from ortbatch.report.build import SCHEMA_VERSION
from ortbatch.report.encode import encode, is_estimate
from ortbatch.report.schema import problems_of

if TYPE_CHECKING:
    import pandas
    from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay


@dataclass(frozen=True, eq=False)
class Report:
    """A report; `data` is the whole of report.json, `path` where it lies.

    report.status, report.exit_code, report.quality["accuracy"].value, report.confusion_matrix
    """

    data: Mapping[str, Any]
    path: str = ""

    @classmethod
    def decode(cls, text: str | bytes, path: str) -> Report:
        """Read report.json.

        Raises:
            ReportError: if it is no report, or one of another version.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{redact(path)}: not a report: {error}; give the folder of a run") from None
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise ReportError(
                f"{redact(path)}: schema_version {version!r}; this ortbatch reads version {SCHEMA_VERSION}. Run the "
                "job again, or read it with the ortbatch that wrote it."
            )
        problems = problems_of(data)
        if problems:
            raise ReportError(f"{redact(path)}: not a valid report: {problems[0]}")
        return cls(data, path)

    def encode(self) -> str:
        """The text of report.json."""
        return encode(self.data) + "\n"

    @property
    def status(self) -> str:
        """`passed`, `failed`, `inconclusive`, `incomplete` or `ungated`."""
        return str(self.data["status"])

    @property
    def exit_code(self) -> int:
        """What `ortbatch run` exits with."""
        return int(self.data["exit_code"])

    @cached_property
    def quality(self) -> dict[str, Estimate]:
        """Metric → estimate."""
        return {name: _estimate(item) for name, item in self.data["quality"].items() if is_estimate(item)}

    @cached_property
    def per_class(self) -> dict[str, dict[str, Estimate]]:
        """Class → metric → estimate."""
        rows = self.data["quality"]["per_class"]
        return {row["class"]: {n: _estimate(i) for n, i in row.items() if is_estimate(i)} for row in rows}

    @cached_property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """int64[C, C], rows = true class, columns = predicted class; 800 MB for 10,000 classes."""
        section = self.data["confusion_matrix"]
        if section["format"] == "dense":
            return np.array(section["counts"], np.int64)
        size = len(section["classes"])
        matrix = np.zeros((size, size), np.int64)
        true, predicted, counts = self.confusion_cells.T
        matrix[true, predicted] = counts
        return matrix

    @cached_property
    def confusion_cells(self) -> NDArray[np.int64]:
        """int64[K, 3], true class, predicted class and rows of each cell that is not empty, by rising class."""
        section = self.data["confusion_matrix"]
        if section["format"] == "coo":
            return np.array(section["cells"], np.int64).reshape(-1, 3)
        true, predicted = np.nonzero(self.confusion_matrix)
        return np.column_stack([true, predicted, self.confusion_matrix[true, predicted]])

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the matrix."""
        return list(self.data["quality"]["classes"])

    def to_pandas(self, table: str = "metrics") -> pandas.DataFrame:
        """A table of the report as a pandas DataFrame.

        Args:
            table: `metrics` (the lines of metrics.csv), `per_class`, `confusion_matrix`, `gates`, `findings`, `slices`,
                `thresholds`, `latency`, `fidelity`, `calibration` or `rejected`.

        Raises:
            ReportError: without pandas, for another name, or a table that this report does not have.
        """
        from ortbatch.report.frames import frame_of

        return frame_of(self, table)

    def confusion_matrix_display(self) -> ConfusionMatrixDisplay:
        """scikit-learn's display of the confusion matrix; raises ReportError without matplotlib."""
        from ortbatch.report.displays import confusion_matrix_display

        return confusion_matrix_display(self)

    def roc_curve_display(self, class_name: str | None = None) -> RocCurveDisplay:
        """scikit-learn's display of a ROC curve, from the report's score counts.

        Args:
            class_name: class of a multiclass model, against the rest; None for the positive class.

        Raises:
            ReportError: without matplotlib, or if the report has no scores of the class.
        """
        from ortbatch.report.displays import roc_curve_display

        return roc_curve_display(self, class_name)

    def precision_recall_display(self, class_name: str | None = None) -> PrecisionRecallDisplay:
        """scikit-learn's display of a precision-recall curve; arguments and errors as of `roc_curve_display`."""
        from ortbatch.report.displays import precision_recall_display

        return precision_recall_display(self, class_name)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ortbatch.report.notebook import notebook_html

        return notebook_html(self.data)


def _estimate(item: Mapping[str, Any]) -> Estimate:
    ci, bound = (None if pair is None else (pair[0], pair[1]) for pair in (item["ci"], item.get("bound")))
    return Estimate(item["value"], ci, item.get("reason"), item.get("method"), item.get("caution"), bound)
