"""What a search for evaluation rows in the training data found, and what the training data say of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ortbatch.metrics.tally import Tally

EXAMPLES = 20


@dataclass(frozen=True, order=True)
class Twins:
    """A row and one with equal inputs: files by index in their plans, rows by number in their files, classes by index.

    Args:
        file, row: the one.
        other_file, other_row: the other; in the training data where these are compared.
        label, other_label: their classes; -1 where there is none.
    """

    file: int
    row: int
    other_file: int
    other_row: int
    label: int = -1
    other_label: int = -1


@dataclass(frozen=True)
class TrainingRows:
    """The training data as they were looked at.

    Args:
        files: redacted paths, in the order of their plan.
        digest: of their plan: names, sizes, footers.
        planned: rows by their footers.
        looked_at: rows that were compared.
        unusable: those of them without inputs that the model can be given.
        matching: those that are evaluation rows.
        left_out: rows of shards that could not be read.
        same_files: files that are files of the evaluation data too, by size and footer.
        no_labels: why their labels are not known; None if they are.
    """

    files: Sequence[str]
    digest: str
    planned: int
    looked_at: int = 0
    unusable: int = 0
    matching: int = 0
    left_out: int = 0
    same_files: int = 0
    no_labels: str | None = None


@dataclass(frozen=True)
class Giveaway:
    """A column that tells the label by itself.

    Args:
        column: its name.
        input: input of the model that it feeds.
        measure: `roc_auc` of its order, or `accuracy` of the best class for each value.
        value: of the measure, on a sample of rows.
        majority: share of the largest class among them.
        rows: of the sample.
    """

    column: str
    input: str
    measure: str
    value: float
    majority: float
    rows: int


@dataclass(frozen=True)
class Leakage:
    """Evaluation rows that stand in the training data too, and rows that stand twice.

    Args:
        compared: evaluation rows whose inputs the model can be given; only these are compared.
        distinct: different inputs among them.
        rows: evaluation rows whose inputs stand in the training data.
        duplicates: evaluation rows beyond the first of their inputs.
        conflicts: evaluation rows of inputs that have more than one label among the evaluation rows.
        training_conflicts: evaluation rows whose inputs have another label in the training data; None without labels.
        leaked: the first leaked rows, each with its first twin in the training data.
        repeated: the first duplicates, each with the first row of its inputs.
        contradicting: rows with the first row of the same inputs and another label.
        contradicted: rows with the first training row of the same inputs and another label.
        giveaways: columns that tell the label by themselves.
    """

    compared: int = 0
    distinct: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    training_conflicts: int | None = 0
    leaked: tuple[Twins, ...] = ()
    repeated: tuple[Twins, ...] = ()
    contradicting: tuple[Twins, ...] = ()
    contradicted: tuple[Twins, ...] = ()
    giveaways: tuple[Giveaway, ...] = ()

    def merge(self, other: Leakage) -> Leakage:
        """Of the inputs of both, which have none in common; the columns are those of the one that has some."""
        one, two = self.training_conflicts, other.training_conflicts
        return Leakage(
            self.compared + other.compared,
            self.distinct + other.distinct,
            self.rows + other.rows,
            self.duplicates + other.duplicates,
            self.conflicts + other.conflicts,
            None if one is None or two is None else one + two,
            _first(self.leaked, other.leaked),
            _first(self.repeated, other.repeated),
            _first(self.contradicting, other.contradicting),
            _first(self.contradicted, other.contradicted),
            self.giveaways or other.giveaways,
        )


def _first(one: tuple[Twins, ...], two: tuple[Twins, ...]) -> tuple[Twins, ...]:
    return tuple(sorted((*one, *two))[:EXAMPLES])


@dataclass(frozen=True)
class Overfitting:
    """What the model makes of rows that it was trained on.

    Args:
        tally: of these rows; None where there is none.
        missing: why there is none.
        sampled: rows that were drawn; None for all of them.
        seed: of the draw.
        left_out: rows of shards that could not be done.
    """

    tally: Tally | None
    missing: str | None = None
    sampled: int | None = None
    seed: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Checked:
    """All that was checked against the training data.

    Args:
        training: what was read.
        leakage: what was found; None if it was not looked for.
        without: counts of the evaluated rows that are not in the training data; None where no row is in it.
        leaked: counts of those that are; likewise.
        overfitting: None if it was not looked for.
    """

    training: TrainingRows
    leakage: Leakage | None = None
    without: Tally | None = None
    leaked: Tally | None = None
    overfitting: Overfitting | None = None
