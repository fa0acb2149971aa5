"""YAML 1.2 text to plain values, each with its line. Builds no object: tags are refused, aliases are bounded.

Keys are the text as written, whatever their type in YAML (`null:` is the key "null").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from ortbatch.errors import JobError, Problem
from ortbatch.job.scalars import resolve
from ortbatch.job.tree import MAX_DEPTH, Complaint, Path, Place, Tree
from ortbatch.job.wording import got, printable, shortened

MAX_BYTES = 1_000_000
"""Largest job file."""

MAX_REPEATED = 10_000
"""How many values the aliases of a file may repeat in all; stops a few lines from growing into gigabytes."""

_FORM = "a job file is a mapping with the keys name, model and data"


def read_document(path: FilePath) -> Tree:
    """Read a job file.

    Raises:
        JobError: no such file, not UTF-8, not YAML, empty, no mapping, or larger than `MAX_BYTES`.
    """
    where = str(path)
    tree = parse(_text_of(path), lambda line: Place(line, f"{where}:{line}"))
    if tree.value is None:
        raise _refused(f"{where}:1", f"the file is empty; {_FORM}")
    if not isinstance(tree.value, dict):
        raise _refused(tree.place(()).where, f"expected a mapping, got {got(tree.value)}; {_FORM}")
    return tree


def parse(text: str, place: Callable[[int], Place]) -> Tree:
    """Parse one YAML document; `place` names a line, counted from 1. No document at all is null.

    Raises:
        JobError: not one YAML 1.2 document, or aliases beyond the bound.
    """
    events = _events(text, place)
    next(events)
    start = next(events)
    if isinstance(start, StreamEndEvent):
        return Tree(None, {(): place(1)})
    if isinstance(start, DocumentStartEvent) and start.version not in (None, (1, 2)):
        raise _refused(place(_line(start)).where, "job files are YAML 1.2; delete the %YAML line")
    builder = _Builder(events, place)
    first = next(events)
    builder.places[()] = place(_line(first))
    value = builder.value(first, ())
    next(events)
    after = next(events)
    if not isinstance(after, StreamEndEvent):
        raise _refused(place(_line(after)).where, "a second document begins here (`---`); a job file holds one")
    return Tree(value, builder.places, tuple(builder.complaints))


class _Builder:
    """Builds the values of one document from the parser's events, depth first."""

    def __init__(self, events: Iterator[Any], place: Callable[[int], Place]) -> None:
        self.places: dict[Path, Place] = {}
        self.complaints: list[Complaint] = []
        self._events = events
        self._place = place
        self._anchors: dict[str, Any] = {}
        self._repeated = 0

    def value(self, event: Any, path: Path) -> Any:
        """The value that begins with `event`; reads its events to the end."""
        if len(path) > MAX_DEPTH:
            raise self._refusal(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            self._complain(event, path, f"tags (`{shortened(event.tag)}`) are not read; put text in quotes")
        if isinstance(event, MappingStartEvent):
            value: Any = self._mapping(path)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._scalar(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise self._refusal(event, "a key must be plain text; found a list, a mapping or an alias")
            key = event.value
            again = key in mapping
            if again:
                first = self.places[(*path, key)].where
                message = f"the key stands twice, first at {first}; keep one of them"
                self.complaints.append(Complaint((*path, key), message, self._place(_line(event)), settles=False))
            else:
                self.places[(*path, key)] = self._place(_line(event))
            value = self.value(next(self._events), (*path, key))
            if not again:
                mapping[key] = value
        return mapping

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            item = (*path, len(items))
            self.places[item] = self._place(_line(event))
            items.append(self.value(event, item))
        return items

    def _scalar(self, event: Any, path: Path) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return resolve(event.value)
        except ValueError as error:
            self._complain(event, path, str(error))
            return event.value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._refusal(event, f"`*{event.anchor}` repeats a value, but no `&{event.anchor}` stands before it")
        value = self._anchors[event.anchor]
        self._repeated += _size(value)
        if self._repeated > MAX_REPEATED:
            raise self._refusal(event, f"aliases repeat more than {MAX_REPEATED} values; write them out")
        return value

    def _complain(self, event: Any, path: Path, message: str) -> None:
        self.complaints.append(Complaint(path, message, self._place(_line(event))))

    def _refusal(self, event: Any, message: str) -> JobError:
        return _refused(self._place(_line(event)).where, message)


def _text_of(path: FilePath) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise _refused(str(path), f"is a folder; name the job file in it, such as {path / 'job.yaml'}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _refused(str(path), f"cannot read the job file: {reason}; give the path of one") from None
    if len(content) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES} bytes; put long lists of classes in a file of their own"
        raise _refused(f"{path}:1", message)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _refused(f"{path}:{line}", f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def _events(text: str, place: Callable[[int], Place]) -> Iterator[Any]:
    """Events of the parser, with its errors as JobError."""
    line = 1
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            line = _line(event)
            yield event
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            line = mark.line + 1
        said = " ".join(": ".join(str(part) for part in (error.context, error.problem) if part).split())
        hint = (
            "; put text that holds one of { } [ ] , in quotes"
            if "{" in "".join(text.splitlines()[line - 1 : line])
            else ""
        )
        raise _refused(place(line).where, f"not valid YAML: {said}{hint}") from None
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        message = f"not valid YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        raise _refused(place(line).where, message) from None
    except (YAMLError, ValueError, OverflowError) as error:
        # An escape beyond Unicode (`"\UFFFFFFFF"`) ends in these, without a mark.
        raise _refused(place(line).where, f"not valid YAML near this line: {shortened(str(error))}") from None


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(_size(part) for part in value.values())
    return 1 + sum(_size(part) for part in value) if isinstance(value, list) else 1


def _refused(where: str, message: str) -> JobError:
    return JobError([Problem(where, "", printable(message))])
