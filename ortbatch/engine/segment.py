r"""A segment: what some shards gave, as bytes that prove themselves whole.

    ortbatch-segment 1 <sha256 of the rest, hex>\\n
    zlib of: length of the header (8 bytes, little-endian) · header (JSON) · arrays (int64, little-endian) in its order

Integers and text only, no pickle: what is read is compared with a fixed list of types. A segment that is cut short,
changed in any byte or of another format is refused whole.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.engine.state import Part, RunState, ShardSet
from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram
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
        StageTimes, Agreement,
    )
}  # fmt: skip


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
        raw = zlib.decompress(body)
        end = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:end])
        state = _value(header["state"], _Arrays(raw, end))
        if not isinstance(state, RunState):
            raise SegmentError("holds no state of a run")
        return state, dict(header["identity"])
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise SegmentError(f"its checksum is right, its content is not: {error}") from None


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
        array = np.frombuffer(self._raw, "<i8", int(np.prod(shape)), self._at).astype(np.int64, copy=False)
        self._at += array.nbytes
        return frozen(array.reshape(shape))


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
    return _KINDS[kind](**{name: _value(part, arrays) for name, part in plain.items() if name != "is"})
