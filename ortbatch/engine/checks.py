"""What is checked against the training data when the run's own pass is done, by the workers that did it.

Quality without the leaked rows costs a pass over these alone: their counts are taken away from those of all rows,
exactly, as counts are integers. Where scores depend on the batch, or a count proves it, the other rows are evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.plan import Piece, Plan, Shards, sampled
from ortbatch.engine.driver import Completed
from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.fleet import Message
from ortbatch.engine.leakage import ROWS_AT_ONCE, Searcher
from ortbatch.engine.passes import Pass, Passes
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.reducer import Reducer
from ortbatch.engine.rules import Rules
from ortbatch.engine.tasks import Evaluate
from ortbatch.engine.training import Training
from ortbatch.engine.twins import Places
from ortbatch.errors import OrtbatchError
from ortbatch.job.redaction import redact
from ortbatch.metrics.leakage import Checked, Overfitting, TrainingRows
from ortbatch.metrics.tally import Tally


def run_checks(
    prepared: Prepared, training: Training, completed: Completed, passes: Passes, rows_at_once: int = ROWS_AT_ONCE
) -> Checked:
    """Make the checks that a job asks for.

    Args:
        prepared: the job.
        training: its training data.
        completed: the run's own pass.
        passes: makes passes over shards.
        rows_at_once: about so many evaluation rows are compared at a time.

    Raises:
        ShardError: if a shard failed.
        ClusterError: if the workers did.
        StorageError: if storage did.
        Interrupted: if the run was told to stop.
    """
    return _Checks(prepared, training, completed, passes).run(rows_at_once)


@dataclass(frozen=True)
class _Checks:
    prepared: Prepared
    training: Training
    completed: Completed
    passes: Passes

    def run(self, rows_at_once: int) -> Checked:
        training = self.training
        self.passes.tell(f"checking against {training.plan.rows:,} training rows")
        overfitting = self._overfitting()
        if not training.checks.leakage:
            uris = [redact(file.uri) for file in training.plan.files]
            rows = TrainingRows(uris, training.digest, training.plan.rows, no_labels=training.no_labels)
            return Checked(rows, overfitting=overfitting)
        searcher = Searcher(self.prepared, training, self.passes, self._rules, rows_at_once)
        found = searcher.search(self._skipped())
        without, leaked = self._apart(found.leaked) if found.leaked.size else (None, None)
        return Checked(found.training, found.leakage, without, leaked, overfitting)

    @property
    def _rules(self) -> Rules:
        execution = self.prepared.job.execution
        seconds = execution.shard_seconds
        return Rules(
            quarantine=execution.on_bad_shard == "quarantine",
            speculate=self._exact,
            shard_seconds=None if seconds == "auto" else seconds,
        )

    @property
    def _exact(self) -> bool:
        """Does a row get the same scores in whatever batch?"""
        return not (self.prepared.dependence.matters or self.prepared.dependence.scores)

    def _skipped(self) -> NDArray[np.bool_]:
        """Shards that the run left out, bool[S]."""
        skipped = np.zeros(len(self.prepared.plan.shards), np.bool_)
        skipped[[left_out.shard for left_out in self.completed.quarantined]] = True
        return skipped

    def _apart(self, leaked: NDArray[np.int64]) -> tuple[Tally, Tally]:
        """Counts of the rows that are not leaked, and of those that are.

        Args:
            leaked: int64[L], their places, rising.
        """
        prepared, rules = self.prepared, replace(self._rules, quarantine=False)
        evaluation = _plain(prepared.evaluation)
        of_leaked, _ = self._evaluated(
            "leaked rows", evaluation, prepared.plan, shards_of(prepared.plan, leaked), rules
        )
        _check_rows(of_leaked, leaked.size)
        if self._exact:
            try:
                return self.completed.state.tally.without(of_leaked), of_leaked
            except ValueError:
                # Scores depend on the batch after all: no few rows of preflight could tell.
                pass
        rest = np.setdiff1d(self._planned(), leaked, assume_unique=True)
        if not rest.size:
            return evaluation.empty(), of_leaked
        shards = shards_of(prepared.plan, rest)
        without, _ = self._evaluated("rows that are not leaked", evaluation, prepared.plan, shards, rules)
        _check_rows(without, rest.size)
        return without, of_leaked

    def _planned(self) -> NDArray[np.int64]:
        """Places of all rows of the plan but those of shards that were left out, int64[N], rising."""
        shards, starts = self.prepared.plan.shards, Places.of(self.prepared.plan.files).starts
        firsts = starts[shards.file]
        skipped = np.repeat(self._skipped(), np.diff(shards.starts))
        if shards.picked is not None and shards.picked_up_to is not None:
            counts = np.diff(shards.picked_up_to)
            return (shards.picked + np.repeat(firsts, counts))[~np.repeat(skipped, counts)]
        pieces = zip((firsts + shards.first_row).tolist(), shards.rows.tolist(), skipped.tolist(), strict=True)
        runs = [np.arange(first, first + rows) for first, rows, out in pieces if not out]
        return np.concatenate([np.empty(0, np.int64), *runs])

    def _overfitting(self) -> Overfitting | None:
        asked, plan = self.training.checks.overfitting, self.training.plan
        if asked is None:
            return None
        if self.training.no_labels is not None:
            return Overfitting(None, self.training.no_labels)
        rows = None if asked.rows == "all" or asked.rows >= plan.rows else asked.rows
        if rows is not None:
            plan = sampled(plan, rows, asked.seed)
        evaluation = replace(_plain(self.prepared.evaluation), terms=(), score_unlabelled=False)
        tally, left_out = self._evaluated("training rows", evaluation, plan, plan.shards, self._rules)
        return Overfitting(tally, None, rows, asked.seed, left_out)

    def _evaluated(
        self, key: str, evaluation: Evaluation, plan: Plan, shards: Shards, rules: Rules
    ) -> tuple[Tally, int]:  # fmt: skip
        """Counts of the rows of some shards, and the rows of those that could not be done."""
        reducer = Reducer(evaluation.empty())

        def take(message: Message) -> None:
            if message.state is not None:
                reducer.accept(message.state)

        left_out = self.passes.make(Pass(Evaluate(key, evaluation), shards, plan.files, rules), take)
        return reducer.state.tally, sum(shards[each.shard].rows for each in left_out)


def _plain(evaluation: Evaluation) -> Evaluation:
    """The same for rows besides those of the run: nothing is written, no slice and no other model looked at."""
    return replace(evaluation, kept=None, sink=None, cuts=(), baselines=())


def _check_rows(tally: Tally, rows: int) -> None:
    if tally.coverage.planned != rows:
        said = f"{rows:,} rows picked, {tally.coverage.planned:,} accounted for"
        raise OrtbatchError(f"rows were lost or counted twice (a defect of ortbatch): {said}")


def shards_of(plan: Plan, places: NDArray[np.int64]) -> Shards:
    """Shards of some rows of a plan: its own, or row groups where these hold but some of their rows already.

    Args:
        plan: the plan.
        places: int64[N], rising numbers of rows among those of all files.
    """
    if plan.shards.picked is None:
        return plan.shards.of_rows(places)
    return Shards.of(plan.files, _row_groups(plan)).of_rows(places)


def _row_groups(plan: Plan) -> Iterable[list[Piece]]:
    for index, file in enumerate(plan.files):
        firsts = accumulate(file.group_rows, initial=0)
        for group, (first, rows) in enumerate(zip(firsts, file.group_rows, strict=False)):
            if rows:
                yield [Piece(index, group, group + 1, first, rows)]
