"""Names of classes as text, from any scalar: `true`, `8`, `cat`. Also read from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path as FilePath
from typing import Any

from ortbatch.job.tree import Complaint, Tree
from ortbatch.job.wording import got, is_unusable, shortened

MAX_BYTES = 16_000_000
"""Largest file of class names."""

_EXACT = 2.0**53


def class_name(value: object) -> str:
    """The text of one class.

    Raises:
        ValueError: empty, or a number that is not integral: its text would be a guess.

    >>> class_name(True), class_name(8), class_name(1.0)
    ('true', '8', '1')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, str) and value and not is_unusable(value):
        return value
    hint = "; put the number in quotes" if isinstance(value, float) else ""
    raise ValueError(f"expected the name of a class (text, an integer, true or false), got {got(value)}{hint}")


def distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Hand back `classes`.

    Raises:
        ValueError: a class stands twice, or there are fewer than two.
    """
    if len(classes) < 2:
        raise ValueError(f"expected at least 2 classes, got {len(classes)}")
    seen: dict[str, int] = {}
    for index, name in enumerate(classes):
        if name in seen:
            raise ValueError(f"class `{shortened(name)}` stands twice, at {seen[name]} and {index} (counted from 0)")
        seen[name] = index
    return classes


def read_named_classes(tree: Tree, folder: FilePath) -> Tree:
    """Put the names in place of `data.classes` where it is the path of a file, relative to `folder`."""
    data = tree.value.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("classes"), str):
        return tree
    classes: list[Any] | None = None
    try:
        classes = read_classes(data["classes"], folder)
    except ValueError as error:
        tree = tree.complaining(Complaint(("data", "classes"), str(error)))
    return Tree({**tree.value, "data": {**data, "classes": classes}}, tree.places, tree.complaints)


def read_classes(path: str, folder: FilePath) -> list[Any]:
    """Names of classes in output order: one per line, or the `id2label` of a .json file.

    Raises:
        ValueError: no such file, or not of this form; the message names the file.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        raise ValueError(f'"{shortened(path)}" is not local; copy the file of class names beside the job file')
    text = _text_of(folder / path)
    return _id2label(text, path) if path.endswith(".json") else _lines(text, path)


def _text_of(path: FilePath) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot read the class names from {path}: {reason}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES} bytes")
    return text


def _lines(text: str, path: str) -> list[Any]:
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    for number, line in enumerate(lines, start=1):
        if not line or line != line.strip():
            raise ValueError(f"{path}:{number}: expected one name in a line without blanks around it, got {got(line)}")
    return lines


def _id2label(text: str, path: str) -> list[Any]:
    try:
        names = json.loads(text, object_pairs_hook=_without_duplicates)["id2label"]
        positions = {int(position): name for position, name in names.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        said = shortened(str(error))
        raise ValueError(f'{path} holds no {{"id2label": {{"0": name, ...}}}}: {type(error).__name__} {said}') from None
    if sorted(positions) != list(range(len(names))):
        raise ValueError(f"the ids of id2label in {path} are not 0 to {len(names) - 1}, each once")
    return [positions[position] for position in range(len(names))]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)
