"""A draft as a commented YAML file, and as notes for a terminal.

A comment begins with `# `; a line that begins with `#` and a key (or `#  -`) is a suggestion, which works once the `#`
is taken away. Names stand in comments inert and on one line. The file is read back before anything is written: it is
the job that was tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.data.columns import decoded, family, is_text
from ortbatch.data.labels import is_integer_name
from ortbatch.draft.attempts import Draft
from ortbatch.draft.inputs import looks_like_id
from ortbatch.draft.quoting import escaped, flow, quoted
from ortbatch.draft.sight import Column
from ortbatch.errors import OrtbatchError
from ortbatch.job.build import build
from ortbatch.job.document import parse
from ortbatch.job.job import Job
from ortbatch.job.tree import Place
from ortbatch.report.format import name

_SLICES_AT_MOST = 5
_VALUES_OF_A_SLICE = (2, 20)
_PARTS = {"test", "val", "valid", "validation", "eval", "holdout"}
_LINE = 110
_COMMAND_AT_MOST = 4_000


@dataclass(frozen=True)
class Note:
    """One thing that was inferred: what, its value, and by what."""

    what: str
    value: str
    by: str


def draft_text(draft: Draft, command: str) -> str:
    """The job file.

    Args:
        draft: what it says.
        command: what runs it, for its first lines.

    Raises:
        OrtbatchError: if it is not read back as the job that was tried, which is a defect.
    """
    lines = [*_head(command), *_model(draft), *_data(draft), *_suggestions(draft)]
    text = "\n".join(lines) + "\n"
    read = build(Job, parse(text, lambda line: Place(line, f"draft:{line}")), draft.job.folder, {})
    if read != draft.job:
        raise OrtbatchError("the job file is not read back as the job that was tried (a defect of ortbatch)")
    return text


def _head(command: str) -> Iterator[str]:
    yield f"# {name(command, _COMMAND_AT_MOST)}"
    yield "# A line that begins with `#` and a key is a suggestion: take the `#` away to use it. All keys: docs/job.md"


def _model(draft: Draft) -> Iterator[str]:
    mapping, evaluation = draft.mapping, draft.prepared.evaluation
    yield f"name: {_key(mapping['name'])}"
    yield "model:"
    yield f"  path: {_key(mapping['model']['path'])}"
    given = mapping["model"].get("inputs")
    for spec in draft.sight.inputs:
        yield f"  # input {name(str(spec), 100)}: {name(draft.proposal.why[spec.name], 200)}"
        if given is None:
            yield f"  # which is {_some(draft.proposal.columns[spec.name])}"
    if given is not None:
        yield "  inputs:"
        for key, value in given.items():
            yield from wrapped(f"    {quoted(key)}: {_key(_short(value))}")
    output = evaluation.decision.output
    yield f"  # output {name(output.name)}: {output.kind}, {output.columns} a row, by {_BY[output.inferred]}"
    if "output" in mapping["model"]:
        yield f"  output: {_key(mapping['model']['output'])}"
    else:
        yield f"  #output: {_key({'name': output.name, 'kind': output.kind})}"


_BY = {"job": "the job", "graph": "the model's graph", "values": "the values of the first rows"}


def _short(given: dict[str, Any]) -> Any:
    """The short form of an input, where it means the same."""
    if list(given) == ["column"] and "*" not in given["column"]:
        return given["column"]
    return given["columns"] if list(given) == ["columns"] else given


def _data(draft: Draft) -> Iterator[str]:
    data, plan, labels = draft.mapping["data"], draft.prepared.plan, draft.prepared.evaluation.labels
    yield "data:"
    folders = [column.name for column in draft.sight.columns.values() if column.folder]
    beside = f"; columns from folder names: {_some(folders)}" if folders else ""
    yield f"  # {plan.rows:,} rows in {len(plan.files):,} file{'' if len(plan.files) == 1 else 's'}{beside}"
    yield f"  path: {_key(data['path'])}"
    column = draft.label.column
    held = f"{column.distinct:,} distinct among {draft.sight.looked:,} rows that were looked at"
    yield f"  # {name(str(column.kind))}, {held}"
    yield f"  # taken for the label by: {name('; '.join(draft.label.why), 200)}"
    yield f"  label: {_key(data['label'])}"
    yield f"  # {_task(draft)}; {len(labels.classes):,} classes, by {draft.classes_by}; labels are {_LABELS[labels.by]}"
    yield f"  # {_some(labels.classes)}"
    if "classes" in data:
        given = data["classes"]
        yield from wrapped(f"  classes: {_key(given) if isinstance(given, str) else _classes(given)}")
    if "positive" in data:
        yield "  # the class whose scores, precision and recall are reported"
        yield f"  positive: {_class(data['positive'])}"
    if (split := _split(draft)) is not None:
        yield "  # only some of the rows"
        yield f"  #filter: {_key([[split[0], '==', split[1]]])}"


_LABELS = {"name": "their names", "index": "their places, from 0"}


def _task(draft: Draft) -> str:
    return "multiclass" if draft.prepared.evaluation.decision.positive is None else "binary"


def _suggestions(draft: Draft) -> Iterator[str]:
    binary = draft.prepared.evaluation.decision.positive is not None
    if binary and draft.prepared.evaluation.decision.output.kind != "label":
        yield "# positive from this score on"
        yield "#threshold: 0.5"
    yield "# limits that the result must keep; without any nothing is judged, and the exit code is 0"
    yield "#gates:"
    yield "#  - accuracy >= 0.9"
    yield "#  - recall >= 0.8" if binary else "#  - recall_macro >= 0.8"
    yield "#  - latency.single.p99_ms <= 10"
    if cuts := _cuts(draft):
        yield "# quality by the values of these columns"
        yield "#slices:"
        yield from (f"#  - {_key(column.name)}" for column in cuts)
    if (row := _id(draft)) is not None:
        yield "# what the model says of every row, with these columns beside it"
        yield f"#predictions: {_key({'columns': [row]})}"


def _cuts(draft: Draft) -> list[Column]:
    """Columns of few values that feed nothing and are not the label."""
    low, high = _VALUES_OF_A_SLICE
    kinds = [c for c in _unused(draft) if is_text(c.kind) or family(decoded(c.kind)) in ("int", "bool")]
    return [c for c in kinds if low <= c.distinct <= high and not c.unique][:_SLICES_AT_MOST]


def _split(draft: Draft) -> tuple[str, str] | None:
    """A column of text that says which rows are for testing, and how it calls them."""
    for column in _unused(draft):
        values = column.values or ()
        if is_text(column.kind) and 1 < len(values) <= 5 and "train" in {str(value).casefold() for value in values}:
            for value in values:
                if str(value).casefold() in _PARTS:
                    return column.name, str(value)
    return None


def _id(draft: Draft) -> str | None:
    likely = [c for c in _unused(draft) if c.unique and looks_like_id(c) and not c.folder]
    return likely[0].name if likely else None


def _unused(draft: Draft) -> list[Column]:
    fed = set(draft.prepared.evaluation.inputs.columns) | {draft.label.column.name}
    return [column for column in draft.sight.columns.values() if column.name not in fed]


def draft_notes(draft: Draft) -> list[Note]:
    """What was inferred, for people."""
    evaluation, plan = draft.prepared.evaluation, draft.prepared.plan
    decision, labels = evaluation.decision, evaluation.labels
    notes = [
        Note("rows", f"{plan.rows:,} in {len(plan.files):,} file{'' if len(plan.files) == 1 else 's'}", "all footers")
    ]
    notes += [
        Note(
            f"input {spec.name}", _some(draft.proposal.columns[spec.name]) or "no column", draft.proposal.why[spec.name]
        )
        for spec in draft.sight.inputs
    ]
    notes.append(Note("label", draft.label.column.name, "; ".join(draft.label.why)))
    notes.append(Note("classes", f"{len(labels.classes):,}: {_some(labels.classes)}", draft.classes_by))
    positive = decision.positive
    task = "multiclass" if positive is None else f"binary, positive {name(labels.classes[positive])}"
    notes.append(Note("task", task, "number of classes" + ("" if positive is None else "; the second is positive")))
    columns = f"{decision.output.name}: {decision.output.kind}, {decision.output.columns} a row"
    notes.append(Note("output", columns, _BY[decision.output.inferred]))
    if unused := _unused(draft):
        notes.append(Note("not used", _some([column.name for column in unused]), "nothing asks for them"))
    return notes


def caution(draft: Draft) -> str | None:
    """What to look at if model and labels do not agree; None if they do."""
    if draft.agreement.says_something:
        return None
    if draft.agreement.by_chance >= draft.agreement.rows:
        return "the rows that were tried hold one label only: nothing tells whether columns and classes are in order"
    return (
        "the model is right no more often than by chance: look at the label, the order of the classes and the columns "
        "of each input before you believe a number"
    )


def _key(value: Any) -> str:
    """A value of the job, as its file holds it; long lists go on in further lines."""
    return flow(escaped(value))


def _classes(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_class, names))}]"


def _class(text: str) -> str:
    """A class; a number needs no quotes, as classes are texts however they are written."""
    return text if is_integer_name(text) or text in ("true", "false") else _key(text)


def wrapped(line: str) -> Iterator[str]:
    """A line that ends with a list, in lines of a readable length; breaks stand between items and nowhere else."""
    depth = " " * (len(line) - len(line.lstrip()) + 2)
    while len(line) > _LINE and (place := _break(line)) is not None:
        yield line[:place]
        line = depth + line[place + 1 :]
    yield line


def _break(line: str) -> int | None:
    """Behind the last comma in no quotes that fits on a line, or the first if none does; None if there is none."""
    inside, found, before = False, None, ""
    for place, character in enumerate(line):
        if character == '"' and before != "\\":
            inside = not inside
        before = "" if before == "\\" else character
        if character == " " and not inside and line[place - 1] == "," and place > len(line) - len(line.lstrip()):
            if place > _LINE and found is not None:
                return found
            found = place
    return found


def _some(names: Sequence[str], most: int = 8) -> str:
    """Names inert on one line."""
    return ", ".join(name(each) for each in names[:most]) + (f", … ({len(names):,})" if len(names) > most else "")
