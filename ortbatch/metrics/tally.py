"""Everything that is learnt about some rows: the product of all mergeable values, and the only thing that travels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.fidelity import Baselines
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import BINARY_BINS, ONE_VS_REST_BINS, ScoreHistogram
from ortbatch.metrics.slices import Cut, SliceCounts, slices_of
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.value import merged

CONFIDENCE = ("right",)
RANKS = 10
ANY_CLASS = 2**31
_TAKEN_AWAY = (
    "coverage", "confusion", "scores", "log_loss", "brier", "own_label", "confidence", "ranks", "log_loss_squares",
    "brier_squares", "rejected_labels",
)  # fmt: skip


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
        confidence: log-odds of the predicted class by whether it is right; of multiclass models with scores.
        ranks: rows by how many classes score above their own: 0, 1, ..., 9, more; of multiclass models with scores.
        log_loss_squares: Σ of the squares of what `log_loss` sums, of multiclass models.
        brier_squares: Σ of the squares of what `brier` sums, of multiclass models.
        rejected_labels: rejected rows whose label is known, by class index.
        slices: the same rows cut as the job asks for; none if it asks for no slices.
        baselines: the same rows through further models, by name; none if the job has no such baselines.

    `latency` (of baselines too) and `stages` differ from run to run; everything else is a function of rows, model and
    job.
    """

    coverage: Coverage
    confusion: ConfusionMatrix
    scores: ScoreHistogram
    log_loss: FixedSum
    brier: FixedSum
    latency: LatencyHistogram
    stages: StageTimes
    own_label: Agreement = field(default_factory=Agreement)
    confidence: ScoreHistogram = field(default_factory=lambda: ScoreHistogram.empty(CONFIDENCE, ONE_VS_REST_BINS))
    ranks: Cells = field(default_factory=lambda: Cells.empty((RANKS + 1,)))
    log_loss_squares: FixedSum = field(default_factory=FixedSum)
    brier_squares: FixedSum = field(default_factory=FixedSum)
    rejected_labels: Cells = field(default_factory=lambda: Cells.empty((ANY_CLASS,)))
    slices: SliceCounts = field(default_factory=SliceCounts)
    baselines: Baselines = field(default_factory=Baselines)

    @classmethod
    def empty(
        cls, classes: Sequence[str], curves: Sequence[str], cuts: Sequence[Cut] = (), baselines: Sequence[str] = ()
    ) -> Tally:
        """No rows yet.

        Args:
            classes: C names.
            curves: the class of each score curve: none, one, or all of them.
            cuts: ways to cut rows.
            baselines: names of the models that run beside this one.
        """
        bins = BINARY_BINS if len(curves) == 1 else ONE_VS_REST_BINS
        return cls(
            Coverage.empty(),
            ConfusionMatrix.empty(classes),
            ScoreHistogram.empty(curves, bins),
            FixedSum.empty(),
            FixedSum.empty(),
            LatencyHistogram.empty(),
            StageTimes.empty(),
            slices=SliceCounts.empty(cuts, len(classes), len(curves)),
            baselines=Baselines.empty(baselines, len(classes), slices_of(cuts)),
        )

    def merge(self, other: Tally) -> Tally:
        """Rows of both, field by field; raises MergeError if a layout differs."""
        return Tally(*(getattr(self, f.name).merge(getattr(other, f.name)) for f in fields(self)))

    def without(self, other: Tally) -> Tally:
        """Rows of this but those of `other`, which are some of them, in all that `quality` is made of.

        Coverage and these are the inverse of `merge`; times, slices and baselines are left empty.

        Raises:
            MergeError: if a layout differs.
            ValueError: if they are not some of them: a count would be negative.
        """
        left = {name: getattr(self, name).without(getattr(other, name)) for name in _TAKEN_AWAY}
        return Tally(**left, latency=LatencyHistogram.empty(), stages=StageTimes.empty())

    @classmethod
    def merged(cls, tallies: Sequence[Tally]) -> Tally:
        """Rows of one or more tallies, as merging one after another gives them, at the cost of their cells together."""
        return cls(*(merged([getattr(tally, f.name) for tally in tallies]) for f in fields(cls)))
