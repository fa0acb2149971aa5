"""Names of metrics as MLflow takes them: segments with `/` between, which its pages show as groups.

    recall[fraud]@country=DE        recall/class/fraud/slice/country/DE
    recall_at_precision(0.9)        recall_at_precision/at/0.9
    fidelity[torch].agreement       fidelity.agreement/of/torch

Reversible: what MLflow does not allow is written as the hexadecimal UTF-8 of each byte behind a dash, a dash itself as
`-2d`, an empty segment as a dash alone. Only a name beyond MLflow's 250 characters is cut, and ends in `--` and a hash.
"""

from __future__ import annotations

import hashlib
import re

from ortbatch.metrics.reference import MetricRef, is_fidelity

LONGEST = 250
_PLAIN = re.compile(r"[A-Za-z0-9_. ]")
_ESCAPED = re.compile(r"((?:-[0-9a-f]{2})+)")
_HASH = 16


def mlflow_name(ref: MetricRef) -> str:
    """The name of a metric there.

    >>> mlflow_name(MetricRef.parse("recall[T-shirt]"))
    'recall/class/T-2dshirt'
    """
    segments = [ref.name]
    if ref.argument is not None:
        segments += ["at", repr(ref.argument)]
    if ref.class_name is not None:
        segments += ["of" if is_fidelity(ref.name) else "class", ref.class_name]
    if ref.slice:
        segments += ["slice", *(text for pair in ref.slice for text in pair)]
    name = "/".join(map(_segment, segments))
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH]
    return f"{name[: LONGEST - _HASH - 2]}--{digest}"


def metric_of(name: str) -> MetricRef:
    """The metric that a name there is of.

    Raises:
        ValueError: if it is none of these names, or was cut.

    >>> str(metric_of("recall/class/T-2dshirt"))
    'recall[T-shirt]'
    """
    first, *rest = (_text(segment) for segment in name.split("/"))
    argument = class_name = None
    if rest[:1] == ["at"]:
        argument, rest = float(rest[1]), rest[2:]
    if rest[:1] in (["class"], ["of"]):
        class_name, rest = rest[1], rest[2:]
    pairs = rest[1:]
    if rest and (rest[0] != "slice" or not pairs or len(pairs) % 2):
        raise ValueError(f"{name!r} is no name of a metric")
    return MetricRef(first, argument, class_name, tuple(zip(pairs[::2], pairs[1::2], strict=True)))


def _segment(text: str) -> str:
    r"""A text as one segment.

    >>> [_segment(text) for text in ("a-b/c", "..", "", " x")]
    ['a-2db-2fc', '-2e-2e', '-', '-20x']
    """
    if not text:
        return "-"
    # MLflow takes names for paths, and databases pass over blanks at an end.
    inner = range(len(text) - len(text.lstrip(" .")), len(text.rstrip(" .")))
    return "".join(
        character
        if _PLAIN.fullmatch(character) and (character not in " ." or place in inner)
        else _hexadecimal(character)
        for place, character in enumerate(text)
    )


def _hexadecimal(character: str) -> str:
    return "".join(f"-{byte:02x}" for byte in character.encode())


def _text(segment: str) -> str:
    if "--" in segment:
        raise ValueError(f"{segment!r} was cut")
    if segment == "-":
        return ""
    parts = _ESCAPED.split(segment)
    return "".join(
        bytes.fromhex(part.replace("-", "")).decode() if place % 2 else part for place, part in enumerate(parts)
    )
