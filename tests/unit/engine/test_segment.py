"""A segment comes back as the state that it was made from, or not at all."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import zlib
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.engine.segment import SegmentError, decode_segment, encode_segment
from ortbatch.engine.state import Part, RunState, ShardSet
from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import Tally
from tests.laws.kit import containers, content
from tests.laws.values import BASELINES, TALLY, latency_ns, latency_of, tally_of

Json = dict[str, Any]
IDENTITY = {"model": "a" * 64, "batch_size": "64", "größe": "7 µ"}
MAGIC = b"ortbatch-segment 1 "
BODY = len(MAGIC) + 64 + 1

count = st.integers(0, 2**63 - 1)
big = st.integers(-(2**300), 2**300)
names = st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True).map(tuple)
sums = st.builds(FixedSum, big, st.integers(0, 2**70))


def dense(*shape: int) -> st.SearchStrategy[Cells]:
    """Counts of a shape: about half of the examples are held dense, half sparse."""
    size = int(np.prod(shape))
    counts = st.lists(count, min_size=size, max_size=size) | st.integers(0, size).map(
        lambda filled: [1] * filled + [0] * (size - filled)
    )
    return counts.map(lambda values: Cells.of_dense(np.array(values, np.int64).reshape(shape)))


confusions = names.flatmap(lambda cs: st.builds(ConfusionMatrix, st.just(cs), dense(len(cs), len(cs)))) | st.lists(
    st.integers(0, 10**8 - 1), max_size=5
).map(lambda flat: ConfusionMatrix(("many",) * 10**4, Cells.of((10**4, 10**4), np.array(flat, np.int64))))
scores = names.flatmap(lambda cs: st.builds(ScoreHistogram, st.just(cs), dense(len(cs), 2, 2, 6))) | st.just(
    ScoreHistogram.empty((), 4_096)
)
coverages = st.builds(
    lambda rejected, *fates: Coverage(sum(rejected.values()) + sum(fates), *fates, rejected),
    st.dictionaries(st.tuples(st.integers(0, 10**6), st.text(max_size=4)), count, max_size=4),
    count, count, count,
)  # fmt: skip
agreements = st.tuples(count, count).map(lambda pair: Agreement(max(pair), min(pair)))
latencies = st.lists(latency_ns, max_size=8).map(latency_of)
tallies = st.lists(TALLY.row, max_size=10).map(tally_of) | st.builds(
    Tally, coverages, confusions, scores, sums, sums, latencies, st.builds(StageTimes, *[count] * 5), agreements,
    scores, dense(11), sums, sums, baselines=st.lists(BASELINES.row, max_size=10).map(BASELINES.of),
)  # fmt: skip
shard_sets = st.sets(st.integers(0, 60) | st.integers(0, 10**12)).map(ShardSet.of)
parts = st.lists(st.builds(Part, st.integers(0, 10**6), st.integers(0, 10**9), st.text(max_size=4)), max_size=4)
states = st.builds(RunState, shard_sets, tallies, parts.map(tuple))

ROW = (
    "evaluated", (0, 1), ((1.5, -2.0, 0.0), 1, 0), -0.25, 0.5, 2_500, ("read", 10**9), True,
    (0.5, True, 1), 3, 0.0625, 0.25, 1, (0, 2, 1, 0, 0.5),
    ((0, 1, 2, 7, 10**9, 0, 2, ((0.25, 0.5, 0.25), (0.125, 0.25, 0.625))), 1_500, "timeout", 2_500),
)  # fmt: skip
FULL = RunState(ShardSet.of([1, 2, 7]), tally_of([ROW, ((7, "not_finite"), *ROW[1:])]))
EMPTY = RunState(ShardSet(), Tally.empty(("a", "b"), ("b",)))
SEGMENT = encode_segment(FULL, IDENTITY)
SEGMENTS = pytest.mark.parametrize("segment", [SEGMENT, encode_segment(EMPTY, {})], ids=["full", "empty"])


def of_body(body: bytes, magic: bytes = MAGIC) -> bytes:
    """A segment with a right checksum over any content."""
    return magic + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def opened(segment: bytes) -> tuple[Json, bytes]:
    """Header and arrays of a segment, as its documentation lays them out."""
    raw = zlib.decompress(segment[BODY:])
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def closed(header: bytes, arrays: bytes) -> bytes:
    return of_body(zlib.compress(len(header).to_bytes(8, "little") + header + arrays))


def outcomes(contents: Iterable[bytes]) -> set[str]:
    """What decoding gives; any exception but the right one comes through."""
    found = set()
    for each in contents:
        try:
            decode_segment(each)
            found.add("a value")
        except SegmentError:
            found.add("refused")
    return found


@given(states, st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
def test_a_state_and_its_identity_come_back_as_they_were(state: RunState, identity: dict[str, str]) -> None:
    back, of = decode_segment(encode_segment(state, identity))
    assert content(back) == content(state)
    assert of == identity


@given(states)
def test_arrays_that_come_back_cannot_be_written_to(state: RunState) -> None:
    back = decode_segment(encode_segment(state, IDENTITY))[0]
    arrays = [part for part in containers(back) if isinstance(part, np.ndarray)]
    assert arrays
    assert not any(array.flags.writeable for array in arrays)


@given(st.lists(TALLY.row, max_size=10), st.integers(0, 10), st.randoms())
def test_equal_states_are_equal_bytes(rows: list[Any], cut: int, random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    plain = RunState(ShardSet.of([3, 1, 2]), tally_of(rows))
    merged = RunState(ShardSet.of([2]), tally_of(shuffled[:cut])).merge(
        RunState(ShardSet.of([1, 3]), tally_of(shuffled[cut:]))
    )
    assert encode_segment(plain, IDENTITY) == encode_segment(merged, IDENTITY)


def test_rejected_rows_in_any_order_are_the_same_bytes() -> None:
    rejected = {(1, "b"): 1, (0, "z"): 2, (1, "a"): 3}
    empty = Tally.empty(("a",), ())
    one, other = (
        RunState(ShardSet(), Tally(Coverage(6, rejected_rows=dict(pairs)), *parts_behind(empty)))
        for pairs in (rejected.items(), reversed(rejected.items()))
    )
    assert encode_segment(one, IDENTITY) == encode_segment(other, IDENTITY)


def parts_behind(tally: Tally) -> list[Any]:
    return [getattr(tally, field.name) for field in fields(tally)[1:]]


@SEGMENTS
def test_a_segment_that_is_cut_short_anywhere_is_refused(segment: bytes) -> None:
    assert outcomes(segment[:end] for end in range(len(segment))) == {"refused"}


@SEGMENTS
def test_a_segment_that_lacks_its_beginning_is_refused(segment: bytes) -> None:
    assert outcomes(segment[start:] for start in range(1, len(segment))) == {"refused"}


@SEGMENTS
@pytest.mark.parametrize("bits", [0xFF, 1, 2, 4, 8, 16, 32, 64, 128])
def test_a_segment_with_one_changed_byte_is_refused(segment: bytes, bits: int) -> None:
    changed = (segment[:at] + bytes([segment[at] ^ bits]) + segment[at + 1 :] for at in range(len(segment)))
    assert outcomes(changed) == {"refused"}


@SEGMENTS
@pytest.mark.parametrize("more", [b"\0", b"x", b"\n"])
def test_a_byte_more_at_any_place_is_refused(segment: bytes, more: bytes) -> None:
    assert outcomes(segment[:at] + more + segment[at:] for at in range(len(segment) + 1)) == {"refused"}


def test_two_segments_in_one_file_are_refused() -> None:
    assert outcomes([SEGMENT + SEGMENT, b"\n".join([SEGMENT, SEGMENT])]) == {"refused"}


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_with_and_without_a_right_checksum(noise: bytes) -> None:
    assert outcomes([noise, MAGIC + noise, of_body(noise), of_body(zlib.compress(noise))]) == {"refused"}


@pytest.mark.parametrize("magic", [b"ortbatch-segment 2 ", b"ortbatch-segment 0 ", b"ortbatch-Segment 1 ", b""])
def test_another_version_of_the_format_is_refused_for_that_reason(magic: bytes) -> None:
    with pytest.raises(SegmentError, match="not a segment of this version"):
        decode_segment(of_body(SEGMENT[BODY:], magic))


def test_a_changed_segment_is_refused_for_its_checksum() -> None:
    with pytest.raises(SegmentError, match="checksum differs"):
        decode_segment(SEGMENT[:-1])


def numbers(value: Any) -> list[int]:
    """All cells of all arrays of a state, in the order of its fields."""
    if isinstance(value, np.ndarray):
        return value.ravel().tolist()
    if isinstance(value, tuple):
        return [cell for part in value for cell in numbers(part)]
    if not is_dataclass(value):
        return []
    return [cell for field in fields(value) for cell in numbers(getattr(value, field.name))]


def test_a_segment_is_laid_out_as_documented() -> None:
    header, arrays = opened(SEGMENT)
    assert SEGMENT[:BODY] == MAGIC + hashlib.sha256(SEGMENT[BODY:]).hexdigest().encode() + b"\n"
    assert header["identity"] == IDENTITY
    assert header["state"]["is"] == "RunState"
    assert [int.from_bytes(arrays[at : at + 8], "little") for at in range(0, len(arrays), 8)] == numbers(FULL)


def test_what_the_tests_forge_is_read_where_it_is_right() -> None:
    header, arrays = opened(SEGMENT)
    assert content(decode_segment(closed(json.dumps(header).encode(), arrays))[0]) == content(FULL)


def at(*path: str, **changed: Any) -> Callable[[Json], None]:
    """Change keys of a part of the header's state."""

    def change(header: Json) -> None:
        part = header["state"]
        for key in path:
            part = part[key]
        part.update(changed)

    return change


COUNTS = ("tally", "latency", "counts")
WRONG: dict[str, Callable[[Json], Any]] = {
    "unknown kind": at(**{"is": "Path"}),
    "kind that is a module's name": at(**{"is": "os.system"}),
    "kind that is no text": at(**{"is": ["RunState"]}),
    "no kind": lambda header: header["state"].pop("is"),
    "no state of a run": lambda header: header.update(state=header["state"]["tally"]),
    "no state": lambda header: header.pop("state"),
    "state that is a number": lambda header: header.update(state=5),
    "no identity": lambda header: header.pop("identity"),
    "identity that is a number": lambda header: header.update(identity=5),
    "field too many": at("tally", "brier", more=1),
    "field missing": lambda header: header["state"]["tally"]["confusion"].pop("table"),
    "array beyond the end": at(*COUNTS, shape=[10**6]),
    "array one cell beyond the end": at(*COUNTS, shape=[33_422]),
    "array of more than memory": at(*COUNTS, shape=[2**62]),
    "array whose size wraps around": at(*COUNTS, shape=[2**32, 2**32]),
    "two negative sides": at(*COUNTS, shape=[-1, -33_421]),
    "shape that is no list": at(*COUNTS, shape=None),
    "shape of text": at(*COUNTS, shape=["a"]),
    "shape of fractions": at(*COUNTS, shape=[2.5]),
    "rows that do not add up": at("tally", "coverage", planned=3),
    "negative rows": at("tally", "coverage", planned=0, evaluated=-1),
    "rows as text": at("tally", "coverage", planned="2"),
    "more agreeing rows than rows": at("tally", "own_label", rows=1, agreeing=2),
    "mapping of no pairs": at("tally", "coverage", rejected_rows={"is": "mapping", "items": [[1, 2, 3]]}),
    "mapping by a mapping": at("tally", "coverage", rejected_rows={"is": "mapping", "items": [[{"is": "mapping"}, 1]]}),
    "tuple without items": at("shards", ranges={"is": "tuple"}),
}
WRONG_TODAY: dict[str, Callable[[Json], Any]] = {
    "negative side": at(*COUNTS, shape=[-1]),
    "very negative side": at(*COUNTS, shape=[-2]),
    "side beyond int64": at(*COUNTS, shape=[2**70]),
    "rejected rows that are a list": at("tally", "coverage", rejected_rows=[1]),
    "shards that are a number": at(shards=5),
    "no tally": at(tally=None),
    "shards that overlap": at("shards", ranges={"is": "tuple", "items": [{"is": "tuple", "items": [1, 3]}] * 2}),
    "identity of pairs": lambda header: header.update(identity=["ab"]),
}
KNOWN_WRONG = [pytest.param(change, id=name) for name, change in WRONG_TODAY.items()]


@pytest.mark.parametrize("change", [pytest.param(c, id=name) for name, c in WRONG.items()] + KNOWN_WRONG)
def test_a_right_checksum_over_wrong_content_is_refused(change: Callable[[Json], Any]) -> None:
    header, arrays = opened(SEGMENT)
    header = copy.deepcopy(header)
    change(header)
    with pytest.raises(SegmentError, match=r"checksum is right, its content is not|no state of a run"):
        decode_segment(closed(json.dumps(header).encode(), arrays))


NO_HEADERS = [b"", b"{", b"[]", b"5", b"null", b"{}", b"\xff\xfe", b'{"state": ' + b"9" * 5_000 + b"}"]


@pytest.mark.parametrize("header", [*NO_HEADERS, pytest.param(b"[" * 200_000, id="deep")])
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    assert outcomes([closed(header, b"")]) == {"refused"}


@pytest.mark.parametrize("raw", [b"", b"\0", b"\xff" * 8, (100).to_bytes(8, "little") + b"{}"])
def test_a_length_beyond_the_content_is_refused(raw: bytes) -> None:
    assert outcomes([of_body(zlib.compress(raw))]) == {"refused"}


def test_arrays_that_are_cut_short_are_refused_whatever_the_checksum() -> None:
    header, arrays = opened(SEGMENT)
    text = json.dumps(header).encode()
    assert outcomes(closed(text, arrays[:-less]) for less in (1, 7, 8, 9, len(arrays))) == {"refused"}


@pytest.mark.parametrize("more", [b"\0", b"\0" * 8])
def test_arrays_that_nothing_names_are_refused_whatever_the_checksum(more: bytes) -> None:
    header, arrays = opened(SEGMENT)
    assert outcomes([closed(json.dumps(header).encode(), arrays + more)]) == {"refused"}


def test_bytes_that_no_zlib_wrote_are_refused_whatever_the_checksum() -> None:
    body = SEGMENT[BODY:]
    assert outcomes([of_body(body[:-1]), of_body(body[1:]), of_body(b"\0" + body), of_body(b"garbage")]) == {"refused"}


class Writes:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = pickle.dumps(Writes(tmp_path / "run"))
    pickle.loads(trap)
    (tmp_path / "run").unlink()
    assert outcomes([trap, of_body(trap), of_body(zlib.compress(trap)), closed(trap, b"")]) == {"refused"}
    assert not list(tmp_path.iterdir())


def test_no_pickle_is_made_or_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def pickled(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("loads", "load", "dumps", "dump", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, pickled)
    assert content(decode_segment(encode_segment(FULL, IDENTITY))[0]) == content(FULL)
