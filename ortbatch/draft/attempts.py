"""Candidates for a job, tried one after another with the preflight of a run; the first that stands is the draft.

Where the name of a column does not say that it is the label, several may stand: then the model decides, if it agrees
with one of them more often than chance. What is not certain is asked for, never guessed: nothing is written then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ortbatch.data.columns import is_text
from ortbatch.data.storage import is_remote, local_path
from ortbatch.draft.agreement import Agreement, agreement_of
from ortbatch.draft.inputs import Proposal, proposals
from ortbatch.draft.labels import LabelCandidate, label_candidates
from ortbatch.draft.quoting import escaped
from ortbatch.draft.sight import Sight, look
from ortbatch.engine.prepare import prepare
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.threads import THREADS
from ortbatch.errors import DataError, JobError, ModelError, PreflightError
from ortbatch.job import Job
from ortbatch.job.redaction import redact
from ortbatch.model.outputs import choose_output
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load

_LABELS_TRIED = 5
_TRIES = 12
_CLEARLY = 2.0
_TOLD = 2
_SAID = 360
_LIKELY_OUTPUTS = re.compile("prob|logit|score|softmax|output|out", re.IGNORECASE)


@dataclass(frozen=True)
class Draft:
    """A job that stands.

    Args:
        mapping: its keys.
        job: the job of them.
        prepared: what its preflight found.
        sight: what there was to see.
        label: why this column is the label.
        proposal: what feeds the model, and why.
        agreement: of model and labels on some rows.
        classes_by: where the names of the classes come from.
    """

    mapping: dict[str, Any]
    job: Job
    prepared: Prepared
    sight: Sight
    label: LabelCandidate
    proposal: Proposal
    agreement: Agreement
    classes_by: str


@dataclass(frozen=True)
class _Asked:
    """What a draft is made of: paths and classes as the job is to hold them, the folder of the job, and its name."""

    model: str
    data: list[str]
    classes: str | list[str] | None
    folder: Path
    name: str


@dataclass(frozen=True)
class Hints:
    """What is known besides; None where it is not.

    Args:
        label: the label column.
        classes: names in output order with commas between them, or a file of names as `data.classes` takes it.
    """

    label: str | None = None
    classes: str | None = None


def draft_job(model: str, data: Sequence[str], target: Path, hints: Hints | None = None) -> Draft:
    """Make a job of a model and data.

    Args:
        model: path or URI of the ONNX file.
        data: paths, folders, globs or URIs.
        target: where the job file is to lie; its paths are relative to that folder.
        hints: what is known besides.

    Raises:
        ModelError: if the model cannot be loaded.
        DataError: if the data cannot be read, or no candidate stands; it says why.
    """
    sight = look(model, data)
    folder = target.absolute().parent
    hints = hints or Hints()
    paths = [_relative(each, folder) for each in data]
    asked = _Asked(_relative(model, folder), paths, _given_classes(hints.classes, folder), folder, _name(model, folder))
    tries = _Tries(asked, sight)
    labels = _labels(sight, hints.label)
    for candidates in (([c] for c in labels if c.named or hints.label), [[c for c in labels if not c.named]]):
        for group in candidates:
            stood = [draft for candidate in group for draft in tries.of(candidate, labels)[:1]]
            if draft := _chosen(stood):
                return draft
    raise _none(sight, labels, tries.refused)


def _labels(sight: Sight, label: str | None) -> list[LabelCandidate]:
    names, number = _classes(sight)
    if label is None:
        return label_candidates(sight, names, number)[:_LABELS_TRIED]
    if label not in sight.columns:
        raise DataError(f"--label {label}: no such column; the data have {_some(list(sight.columns))}.")
    return [LabelCandidate(sight.columns[label], 0, ("--label",))]


def _chosen(stood: Sequence[Draft]) -> Draft | None:
    """The only one, or the one that the model agrees with, where its name does not tell."""
    if len(stood) < 2:
        return next(iter(stood), None)
    speaking = sorted((d for d in stood if d.agreement.says_something), key=lambda d: -d.agreement.kappa)
    if len(speaking) == 1 or (speaking and speaking[0].agreement.kappa > _CLEARLY * speaking[1].agreement.kappa):
        best = speaking[0]
        why = (*best.label.why, f"of {len(stood)} candidates the one that the model agrees with")
        return replace(best, label=replace(best.label, why=why))
    columns = ", ".join(f"`{draft.label.column.name}`" for draft in stood)
    raise DataError(
        f"several columns may be the label, and nothing tells which: {columns}. Say which one with --label COLUMN."
    )


class _Tries:
    """Tries candidates; `refused` holds what was wrong with those that do not stand, by label column."""

    def __init__(self, asked: _Asked, sight: Sight) -> None:
        self._asked, self._sight = asked, sight
        self._model: OnnxModel | None = None
        self._left = _TRIES
        self.refused: dict[str, str] = {}

    def of(self, candidate: LabelCandidate, others: Sequence[LabelCandidate]) -> list[Draft]:
        """The jobs that stand with a label, best first."""
        stood: list[Draft] = []
        if (nameless := _nameless(self._asked, self._sight, candidate)) is not None:
            self.refused[candidate.column.name] = nameless
            return []
        names = [each.column.name for each in others if each.named]
        for proposal in proposals(self._sight, candidate.column.name, names):
            for output in _outputs(self._sight):
                if self._left <= 0:
                    break
                self._left -= 1
                if (draft := self._try(candidate, proposal, output)) is not None:
                    stood.append(draft)
            if stood and stood[-1].agreement.says_something:
                return [stood[-1]]
        if not stood:
            self.refused.setdefault(candidate.column.name, _no_way(self._sight, candidate.column.name))
        return stood

    def _try(self, candidate: LabelCandidate, proposal: Proposal, output: str | None) -> Draft | None:
        mapping, by = _mapping(self._asked, self._sight, candidate, proposal, output)
        try:
            job = Job.from_mapping(escaped(mapping), self._asked.folder)
            prepared = prepare(job)
            if (bound := {b.name: b.columns for b in prepared.evaluation.inputs.bound}) != proposal.columns:
                raise DataError(f"`model.inputs` would bind {bound}; name the columns in the job.")
            mapping, job, prepared = _with_positive(mapping, job, prepared)
            agreement = agreement_of(prepared, self._session())
        except (JobError, ModelError, DataError, PreflightError) as error:
            self.refused.setdefault(candidate.column.name, str(error))
            return None
        if prepared.decoded.rejected.get("unknown_label") is not None:
            self.refused[candidate.column.name] = _unknown(candidate, prepared)
            return None
        return Draft(mapping, job, prepared, self._sight, candidate, proposal, agreement, by)

    def _session(self) -> OnnxModel:
        if self._model is None:
            self._model = load(self._sight.source, ("CPUExecutionProvider",), THREADS)
        return self._model


def _mapping(
    asked: _Asked, sight: Sight, candidate: LabelCandidate, proposal: Proposal, output: str | None
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """The keys of a job, and where the names of its classes come from."""
    model: dict[str, Any] = {"path": asked.model}
    if proposal.inputs is not None:
        model["inputs"] = proposal.inputs
    if output is not None:
        model["output"] = {"name": output}
    data: dict[str, Any] = {"path": asked.data if len(asked.data) > 1 else asked.data[0]}
    data["label"] = candidate.column.name
    names, number = _classes(sight, output)
    by = "the model's graph" if names is not None else "the places of the outputs, which nothing names"
    if asked.classes is not None:
        data["classes"], by = asked.classes, "--classes"
    elif names is None and sight.named and number in (None, len(sight.named)):
        data["classes"], by = list(sight.named), "the model's metadata"
    return {"name": asked.name, "model": model, "data": data}, by


def _with_positive(mapping: dict[str, Any], job: Job, prepared: Prepared) -> tuple[dict[str, Any], Job, Prepared]:
    """The same with the positive class of a binary task said, as nobody should have to look it up."""
    decision = prepared.evaluation.decision
    if decision.positive is None:
        return mapping, job, prepared
    data = {**mapping["data"], "positive": decision.classes[decision.positive]}
    mapping = {**mapping, "data": data}
    job = Job.from_mapping(escaped(mapping), job.folder)
    return mapping, job, replace(prepared, job=job)


def _outputs(sight: Sight) -> Iterator[str | None]:
    """Outputs to try: the one that the graph leaves no choice about, else all that may hold scores, likely first."""
    try:
        choose_output(sight.outputs, sight.source.graph, None, None)
    except ModelError:
        floats = [spec.name for spec in sight.outputs if spec.dtype.startswith("float")]
        yield from sorted(floats, key=lambda name: not _LIKELY_OUTPUTS.search(name))
    else:
        yield None


def _classes(sight: Sight, output: str | None = None) -> tuple[tuple[str, ...] | None, int | None]:
    """Names that the graph gives its classes, and how many it scores; None where it does not say."""
    for name in [output] if output is not None else [*_outputs(sight)]:
        try:
            found = choose_output(sight.outputs, sight.source.graph, name, None)
        except ModelError:
            continue
        return found.names, found.classes
    return None, None


def _nameless(asked: _Asked, sight: Sight, candidate: LabelCandidate) -> str | None:
    """Why labels of text cannot be held against outputs that have no names; None if they can."""
    names, number = _classes(sight)
    known = asked.classes is not None or names is not None or bool(sight.named)
    if known or not is_text(candidate.column.kind):
        return None
    values = [str(value) for value in candidate.column.values or ()]
    return (
        f"it holds text ({_some(values)}), and the model does not name its {number or 'own'} classes: which output is "
        "which? Say it with --classes NAME,NAME,... in output order."
    )


def _given_classes(text: str | None, folder: Path) -> str | list[str] | None:
    """Names, or the path of a file of names, as the job holds them."""
    if text is None:
        return None
    return _relative(text, folder) if Path(text).is_file() else [word.strip() for word in text.split(",")]


def _unknown(candidate: LabelCandidate, prepared: Prepared) -> str:
    values = [str(value) for value in (candidate.column.values or ())]
    rows, classes = len(prepared.decoded.rejected["unknown_label"]), prepared.evaluation.decision.classes
    return (
        f"{rows:,} of the first rows have a label that is no class: it holds {_some(values)}; the classes are "
        f"{_some(classes)}. Say with --classes NAME,NAME,... which label each output stands for, in their order."
    )


def _no_way(sight: Sight, label: str) -> str:
    free = [f"{c.name} ({c.kind})" for c in sight.columns.values() if c.name != label]
    inputs = ", ".join(f"`{spec}`" for spec in sight.inputs)
    said = f"no columns fit the model's inputs {inputs}; there are {_some(free)}"
    return f"{said}. Write the job with `model.inputs`: the columns of each."


def _none(sight: Sight, labels: Sequence[LabelCandidate], refused: dict[str, str]) -> DataError:
    if not labels:
        return DataError(
            f"no column looks like a label; the data have {_some(list(sight.columns))}. Say which one with --label "
            "COLUMN."
        )
    first = list(refused.items())[:_TOLD]
    told = "\n".join(f"* label `{name}`: {_cut(why, _SAID // len(first))}" for name, why in first)
    more = f"\n* and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
    return DataError(
        f"no job that can run could be made of this model and these data; nothing was written. Tried:\n{told}"
        f"{more}\nSay what is known with --label and --classes, or write the job by hand (docs/job.md)."
    )


def _cut(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names):,} in all)" if len(names) > 8 else "")


def _relative(path: str, folder: Path) -> str:
    """A path as a job file in `folder` names it: relative if it lies below that, or both below the working folder."""
    if is_remote(path):
        return path
    # `resolve` would follow links, and name another place than was asked for.
    place, here = Path(os.path.abspath(local_path(path))), Path.cwd()  # noqa: PTH100
    if place.is_relative_to(folder):
        return str(place.relative_to(folder))
    if place.is_relative_to(here) and folder.is_relative_to(here):
        # What links lead to is another place seen from `..`; the last name stays as it was given.
        return os.path.relpath(place.parent.resolve() / place.name, folder.resolve())
    return str(place)


def _name(model: str, folder: Path) -> str:
    """A name for the job: that of the model file, or of the folder if that says nothing."""
    stem = re.split(r"[\\/]", redact(model).partition("?")[0])[-1].removesuffix(".onnx")
    for name in (stem, folder.name):
        word = re.sub(r"[^\w.+-]+", "-", name).strip("-._+ ")[:100].rstrip("-._+ ")
        if word and word != "model" and re.match(r"[^\W_]", word):
            return word
    return "job"
