"""Everything that is learnt about some rows: the product of all mergeable values, and the only thing that travels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import BINARY_BINS, ONE_VS_REST_BINS, ScoreHistogram
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.value import merged


@dataclass(frozen=True)
class Tally:
    """Counts and sums of some rows.

    Args:
        coverage: rows by fate.
        confusion: true class × predicted class of the evaluated rows.
        scores: log-odds by truth; no curves when the model puts out labels only.
        log_loss: Σ -log p(true class), clipped at 2^-52.
        brier: Σ squared error of the probabilities, as scikit-learn's `brier_score_loss` scales it.
        latency: time of each `session.run` of the pass.
        stages: where the time went.
        own_label: the model's own label output, where it has one, against the prediction.

    `latency` and `stages` differ from run to run; everything else is a function of rows, model and job.
    """

    coverage: Coverage
    confusion: ConfusionMatrix
    scores: ScoreHistogram
    log_loss: FixedSum
    brier: FixedSum
    latency: LatencyHistogram
    stages: StageTimes
    own_label: Agreement = field(default_factory=Agreement)

    @classmethod
    def empty(cls, classes: Sequence[str], curves: Sequence[str]) -> Tally:
        """No rows yet: C classes, and the class of each score curve (none, one, or all of them)."""
        bins = BINARY_BINS if len(curves) == 1 else ONE_VS_REST_BINS
        return cls(
            Coverage.empty(),
            ConfusionMatrix.empty(classes),
            ScoreHistogram.empty(curves, bins),
            FixedSum.empty(),
            FixedSum.empty(),
            LatencyHistogram.empty(),
            StageTimes.empty(),
        )

    def merge(self, other: Tally) -> Tally:
        """Rows of both, field by field; raises MergeError if a layout differs."""
        return Tally(*(getattr(self, f.name).merge(getattr(other, f.name)) for f in fields(self)))

    @classmethod
    def merged(cls, tallies: Sequence[Tally]) -> Tally:
        """Rows of one or more tallies, as merging one after another gives them, at the cost of their cells together."""
        return cls(*(merged([getattr(tally, f.name) for tally in tallies]) for f in fields(cls)))
