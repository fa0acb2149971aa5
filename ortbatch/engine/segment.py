r"""A segment: what some shards gave, as bytes that prove themselves whole.

    ortbatch-segment 1 <sha256 of the rest, hex>\\n
    zlib of: length of the header (8 bytes, little-endian) · header (JSON) · arrays (int64, little-endian) in its order

Integers and text only, no pickle: what is read is compared with a fixed list of types. A segment that is cut short,
changed in any byte or of another format is refused whole.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ortbatch.engine.state import Part, RunState, ShardSet
from ortbatch.errors import MergeError
from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.fidelity import BaselineCounts, Baselines, Fidelity
from ortbatch.metrics.gaps import Gaps
from ortbatch.metrics.kept import KeptRows
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.slices import Cut, SliceCounts
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import Tally
from ortbatch.metrics.value import frozen

_MAGIC = b"ortbatch-segment 1 "
_HEAD = len(_MAGIC) + 64 + 1
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        RunState, ShardSet, Part, Tally, Coverage, ConfusionMatrix, ScoreHistogram, Cells, FixedSum, LatencyHistogram,
        StageTimes, Agreement, SliceCounts, Cut, Baselines, BaselineCounts, Fidelity, Gaps, KeptRows,
    )
}  # fmt: skip
_WRONG = (
    zlib.error, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError, MergeError,
)  # fmt: skip


class SegmentError(Exception):
    """Bytes that are no whole segment of this format; the message says why."""


def encode_segment(state: RunState, identity: Mapping[str, str]) -> bytes:
    """The bytes of a segment, the same for equal states.

    Args:
        state: what the shards gave.
        identity: of the run that they belong to.
    """
    arrays: list[NDArray[np.int64]] = []
    header = json.dumps({"identity": dict(identity), "state": _plain(state, arrays)}, separators=(",", ":")).encode()
    parts = [len(header).to_bytes(8, "little"), header]
    parts += [array.astype("<i8", copy=False).tobytes() for array in arrays]
    body = zlib.compress(b"".join(parts), 1)
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode_segment(content: bytes) -> tuple[RunState, dict[str, str]]:
    """State and identity of a segment.

    Raises:
        SegmentError: if a byte is missing or changed, or the format is another.
    """
    if not content.startswith(_MAGIC):
        raise SegmentError("not a segment of this version")
    body = content[_HEAD:]
    if content[len(_MAGIC) : _HEAD] != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise SegmentError("cut short or changed: its checksum differs")
    try:
        raw = _unpacked(body)
        end = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:end])
        arrays = _Arrays(raw, end)
        state, identity = _value(header["state"], arrays), header["identity"]
        _require(state, RunState)
        _require(identity, dict[str, str])
        arrays.require_used()
        if ShardSet().union(state.shards) != state.shards:
            raise ValueError("shards that are not in order")
    except _WRONG as error:
        raise SegmentError(f"its checksum is right, its content is not: {error}") from None
    return state, identity


def _unpacked(body: bytes) -> bytes:
    stream = zlib.decompressobj()
    raw = stream.decompress(body) + stream.flush()
    if stream.unused_data or not stream.eof:
        raise ValueError("bytes behind its end")
    return raw


def _plain(item: Any, arrays: list[NDArray[np.int64]]) -> Any:
    """JSON of a value; its arrays go to the end of a list."""
    if item is None or isinstance(item, int | str):
        return item
    if isinstance(item, np.ndarray):
        arrays.append(item)
        return {"is": "array", "shape": list(item.shape)}
    if isinstance(item, tuple):
        return {"is": "tuple", "items": [_plain(part, arrays) for part in item]}
    if isinstance(item, Mapping):
        pairs = sorted(item.items())
        return {"is": "mapping", "items": [[_plain(k, arrays), _plain(v, arrays)] for k, v in pairs]}
    name = type(item).__name__
    assert _KINDS.get(name) is type(item), name
    return {"is": name, **{f.name: _plain(getattr(item, f.name), arrays) for f in fields(item)}}


class _Arrays:
    """Arrays behind the header, one after another."""

    def __init__(self, raw: bytes, start: int) -> None:
        self._raw, self._at = raw, start

    def take(self, shape: list[int]) -> NDArray[np.int64]:
        if any(not isinstance(side, int) or side < 0 for side in shape):
            raise ValueError(f"an array of shape {shape}")
        size = math.prod(shape)
        if size * 8 > len(self._raw) - self._at:
            raise ValueError(f"an array of shape {shape} beyond the end")
        array = np.frombuffer(self._raw, "<i8", size, self._at).astype(np.int64, copy=False)
        self._at += array.nbytes
        return frozen(array.reshape(shape))

    def require_used(self) -> None:
        """Refuse bytes that nothing names."""
        if self._at != len(self._raw):
            raise ValueError(f"{len(self._raw) - self._at} bytes that nothing names")


def _value(plain: Any, arrays: _Arrays) -> Any:
    if not isinstance(plain, dict):
        return plain
    kind = plain["is"]
    if kind == "array":
        return arrays.take(plain["shape"])
    if kind == "tuple":
        return tuple(_value(part, arrays) for part in plain["items"])
    if kind == "mapping":
        return {_value(key, arrays): _value(item, arrays) for key, item in plain["items"]}
    value = _KINDS[kind](**{name: _value(part, arrays) for name, part in plain.items() if name != "is"})
    for name, hint in _hints(kind).items():
        _require(getattr(value, name), hint)
    return value


@functools.cache
def _hints(kind: str) -> dict[str, Any]:
    """Field → type of a dataclass."""
    hints = get_type_hints(_KINDS[kind])
    return {f.name: hints[f.name] for f in fields(_KINDS[kind])}


def _require(value: Any, hint: Any) -> None:
    """Refuse a value that is not of a field's type."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    options = inner if kind is UnionType else (hint,)
    if not any(_is(value, option) for option in options):
        raise TypeError(f"{type(value).__name__} instead of {hint}")


def _is(value: Any, hint: Any) -> bool:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is np.ndarray:
        return isinstance(value, np.ndarray)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return isinstance(value, tuple) and all(_is(part, inner[0]) for part in value)
    if kind is tuple:
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_is, value, inner))
    if kind in (dict, Mapping):
        return isinstance(value, dict) and all(_is(k, inner[0]) and _is(v, inner[1]) for k, v in value.items())
    return isinstance(value, kind)
