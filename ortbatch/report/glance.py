"""What a list of runs needs of a report.json, without decoding the rest and without holding it to the schema.

`encode` writes a key on a line of its own, indented by its depth, and no text in JSON holds a bare line end: so a key
is found by searching for its line. A report in another layout is decoded whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ortbatch.errors import ReportError
from ortbatch.job.redaction import redact
from ortbatch.report.build import SCHEMA_VERSION

_DECODER = json.JSONDecoder()
_HISTOGRAM = ("cell", "negative_0", "positive_0", "negative_1", "positive_1")
_HEAD = ("schema_version", "status", "run")
_SMALL = ("schema_version", "status", "run", "coverage", "quality", "thresholds", "latency", "throughput", "provenance")


def glance(text: bytes, path: str, also: tuple[str, ...] = (), *, scores: bool = True) -> dict[str, Any]:
    """The small sections of a report, and of `thresholds` the counts of scores.

    Args:
        text: of report.json.
        path: where it lies, for messages.
        also: other sections, as a whole.
        scores: whether the counts of scores are needed, which take most of the time.

    Raises:
        ReportError: if it is no report, or one of another version.
    """
    try:
        report = _found(text.decode(), (*_SMALL, *also), also, scores=scores)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{redact(path)}: not a report: {error}; give the folder of a run") from None
    version = report.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ReportError(
            f"{redact(path)}: schema_version {version!r}; this ortbatch reads version {SCHEMA_VERSION}. Run the "
            "job again."
        )
    return report


def glance_at_start(start: bytes) -> dict[str, Any] | None:
    """Which run a report is of and how it ended, from the start of its text; None if that does not say it."""
    try:
        found = _found(start.decode(errors="replace") + "\n}\n", _HEAD, (), scores=False)
    except (ValueError, RecursionError):
        return None
    return found if found.get("schema_version") == SCHEMA_VERSION and found.keys() == set(_HEAD) else None


def _found(text: str, keys: tuple[str, ...], also: tuple[str, ...], *, scores: bool) -> dict[str, Any]:
    if not text.startswith('{\n  "schema_version": ') or not text.endswith("\n}\n"):
        whole = json.loads(text)
        return dict(whole) if isinstance(whole, dict) else {}
    found: dict[str, Any] = {}
    last = 0
    for key in dict.fromkeys(keys):
        # In the order of the file, mostly: what is behind need not be searched again.
        at = _after(text, key, 2, last, len(text))
        at = at if at >= 0 else _after(text, key, 2, 0, last)
        if at < 0:
            continue
        last = at
        if key != "thresholds" or key in also:
            found[key] = _value(text, at)
        elif scores:
            found[key] = {"curves": _curves(text, at)}
    return found


def _curves(text: str, start: int) -> list[Mapping[str, Any]]:
    """Name, bins and histogram of each curve: the points and choices between them are as much again."""
    end = text.find('\n  "', start)
    end = len(text) if end < 0 else end
    curves: list[Mapping[str, Any]] = []
    at = _after(text, "class", 8, start, end)
    while at >= 0:
        following = _after(text, "class", 8, at, end)
        stop = end if following < 0 else following
        bins = _after(text, "bins", 8, at, stop)
        histogram = _after(text, "histogram", 8, max(at, bins), stop)
        if bins >= 0 and histogram >= 0:
            columns = _columns(text, histogram, stop)
            curves.append({"class": _value(text, at), "bins": _value(text, bins), "histogram": columns})
        at = following
    return curves


def _columns(text: str, start: int, end: int) -> dict[str, Any]:
    """Columns of whole numbers, int64[K] each; those that hold anything else are left out."""
    found: dict[str, Any] = {}
    for name in _HISTOGRAM:
        at = _after(text, name, 10, start, end)
        close = text.find("]", at, end)
        if at < 0 or close < 0 or text[at] != "[":
            continue
        # Four times as fast as JSON. NumPy warns of what is no number, and gives what stands before it.
        with suppress(DeprecationWarning, ValueError):
            numbers = np.fromstring(text[at + 1 : close], np.int64, sep=",")
            if numbers.size == text.count(",", at, close) + 1:
                found[name] = numbers
        start = close
    return found


def _after(text: str, key: str, indent: int, start: int, end: int) -> int:
    """Where the value of a key begins that stands alone on its line; -1 if there is none."""
    line = f'\n{" " * indent}"{key}": '
    at = text.find(line, start, end)
    return at + len(line) if at >= 0 else -1


def _value(text: str, at: int) -> Any:
    return _DECODER.raw_decode(text, at)[0]
