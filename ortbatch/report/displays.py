"""scikit-learn's display objects of a stored report: confusion matrix, ROC and precision-recall curves.

Curves are scikit-learn's functions of the score counts that the report keeps, a point a bin that holds rows; the area
in the legend is the report's own. They know no single score: two that share a bin are one point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.errors import ReportError
from ortbatch.report.format import name
from ortbatch.report.frames import require
from ortbatch.report.stored_scores import StoredScores, stored_scores

if TYPE_CHECKING:
    from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

    from ortbatch.report.report import Report

_WIDTH = 60


def confusion_matrix_display(report: Report) -> ConfusionMatrixDisplay:
    """Rows = true class, columns = predicted class, as scikit-learn has them; raises ReportError without matplotlib."""
    require("matplotlib", "a display")
    from sklearn.metrics import ConfusionMatrixDisplay

    return ConfusionMatrixDisplay(report.confusion_matrix, display_labels=[label(text) for text in report.classes])


def roc_curve_display(report: Report, class_name: str | None) -> RocCurveDisplay:
    """True positive rate over false positive rate; raises ReportError as `_scores` does, and without matplotlib."""
    require("matplotlib", "a display")
    from sklearn.metrics import RocCurveDisplay, roc_curve

    scores = _scores(report.data, class_name)
    truth, score, weight = _weighted(scores)
    fpr, tpr, _ = roc_curve(truth, score, sample_weight=weight)
    area = _area(report.data, scores.class_name, "roc_auc")
    return RocCurveDisplay(fpr=fpr, tpr=tpr, roc_auc=area, pos_label=label(scores.class_name))


def precision_recall_display(report: Report, class_name: str | None) -> PrecisionRecallDisplay:
    """Precision over recall; raises ReportError as `_scores` does, and without matplotlib."""
    require("matplotlib", "a display")
    from sklearn.metrics import PrecisionRecallDisplay, precision_recall_curve

    scores = _scores(report.data, class_name)
    truth, score, weight = _weighted(scores)
    precision, recall, _ = precision_recall_curve(truth, score, sample_weight=weight)
    return PrecisionRecallDisplay(
        precision,
        recall,
        average_precision=_area(report.data, scores.class_name, "average_precision"),
        pos_label=label(scores.class_name),
        prevalence_pos_label=float(weight[truth == 1].sum() / weight.sum()),
    )


def label(text: str) -> str:
    r"""A name that matplotlib draws as it is: on one line, cut in its middle if long, no `$` taken for mathematics.

    >>> print(label("$x^2$"))
    \$x^2\$
    """
    return name(text, _WIDTH).replace("$", r"\$")


def _scores(report: Mapping[str, Any], class_name: str | None) -> StoredScores:
    """Score counts of a class that has rows on both sides; raises ReportError, saying why there are none."""
    found = stored_scores(report, class_name)
    if isinstance(found, str):
        raise ReportError(f"no curve to display: {found}.")
    rest, own = found.counts.sum(axis=(0, 2)).tolist()
    if not rest or not own:
        raise ReportError(
            f"no curve to display: of {rest + own:,} rows {own:,} are of class `{found.class_name}`; a curve needs "
            "rows of it and of others."
        )
    return found


def _weighted(scores: StoredScores) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Truth, cell and rows of each truth of each cell that holds some."""
    rest, own = scores.counts.sum(axis=0)
    truth = np.repeat([0, 1], scores.cells.size)
    cells, rows = np.tile(scores.cells, 2), np.concatenate([rest, own])
    held = rows > 0
    return truth[held], cells[held], rows[held]


def _area(report: Mapping[str, Any], class_name: str, metric: str) -> float | None:
    """What the report says of a class's curve."""
    row = next(row for row in report["quality"]["per_class"] if row["class"] == class_name)
    value: float | None = row[metric]["value"]
    return value
