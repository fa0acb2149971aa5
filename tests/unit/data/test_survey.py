"""Which slices there are: what a plain count over all values says, whatever files, threads and statistics do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data import survey as module
from ortbatch.data.plan import Plan, make_plan, sampled
from ortbatch.data.reader import Reader
from ortbatch.data.survey import survey
from ortbatch.errors import DataError
from ortbatch.job import SliceSpec
from ortbatch.metrics.slices import Cut
from tests.tables import corrupt, write_table


def planned(folder: Path, shard_rows: int | None = None) -> Plan:
    return make_plan([str(folder)], shard_rows, lambda where, schema: None)


def spec(*columns: str, bins: Sequence[float] | None = None) -> SliceSpec:
    return SliceSpec(column=columns, bins=None if bins is None else tuple(bins))


def ordered(rows: Sequence[tuple[str, ...]], most: int = 100) -> tuple[tuple[str, ...], ...]:
    """The most frequent, equals by their text."""
    counts = Counter(rows)
    return tuple(sorted(counts, key=lambda texts: (-counts[texts], texts))[:most])


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Row groups that were decoded."""
    seen: list[int] = []
    original = Reader.read

    def read(self: Reader, shard: Any) -> Any:
        seen.extend(group for piece in shard.pieces for group in range(piece.first_group, piece.end_group))
        return original(self, shard)

    monkeypatch.setattr(Reader, "read", read)
    return seen


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lambda: tmp_path_factory.mktemp("rows")


@settings(max_examples=40)
@given(st.data())
def test_slices_are_the_values_of_all_files(place: Any, data: st.DataObject) -> None:
    folder, rows = place(), list[tuple[Any, ...]]()
    row = st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([True, None]), st.integers(0, 2))
    for number in range(data.draw(st.integers(1, 3))):
        groups = data.draw(st.lists(st.lists(row, max_size=6), min_size=1, max_size=3))
        flat = [r for group in groups for r in group]
        x, y, z = (pa.array([r[n] for r in flat], k) for n, k in enumerate((pa.string(), pa.bool_(), pa.int8())))
        x = x.dictionary_encode() if number == 1 else x
        write_table(folder / f"{number}.parquet", {"z": z, "y": y, "x": x}, list(map(len, groups)))
        rows += flat
    if not rows:
        return
    named = [tuple("(null)" if value is None else str(value).lower() for value in r) for r in rows]
    plan = planned(folder, data.draw(st.integers(1, 9)))
    cuts = survey(plan, [spec("x"), spec("z", "x"), spec("x", "y", "z")], data.draw(st.integers(1, 4)))
    assert cuts == (
        Cut(("x",), ordered([(r[0],) for r in named])),
        Cut(("z", "x"), ordered([(r[2], r[0]) for r in named])),
        Cut(("x", "y", "z"), ordered(named)),
    )


def test_nothing_is_read_without_slices(tmp_path: Path, reads: list[int]) -> None:
    write_table(tmp_path / "a.parquet", {"x": [1, 2]})
    assert survey(planned(tmp_path), [], 1) == ()
    assert reads == []


ALIKE = [
    ("text", pa.array(["é", "é"]), "é"),
    ("large text", pa.array(["", ""], pa.large_string()), ""),
    ("dictionary", pa.array(["é", "é"]).dictionary_encode(), "é"),
    ("bool", pa.array([False, False]), "false"),
    ("int8", pa.array([-3, -3], pa.int8()), "-3"),
    ("uint64", pa.array([2**64 - 1] * 2, pa.uint64()), "18446744073709551615"),
    ("uint32", pa.array([2**32 - 1] * 2, pa.uint32()), "4294967295"),
    ("date", pa.array([date(2026, 11, 25)] * 2), "2026-11-25"),
    ("null", pa.array([None, None], pa.string()), "(null)"),
    ("null of a timestamp", pa.array([None, None], pa.timestamp("ns")), "(null)"),
]


@pytest.mark.parametrize(("column", "text"), [row[1:] for row in ALIKE], ids=[row[0] for row in ALIKE])
def test_a_row_group_of_one_value_is_not_read(tmp_path: Path, reads: list[int], column: pa.Array, text: str) -> None:
    write_table(tmp_path / "a.parquet", {"x": column, "y": [1, 2]})
    (cut,) = survey(planned(tmp_path), [spec("x")], 1)
    assert cut.values == ((text,),)
    assert reads == []


@pytest.mark.parametrize(("column", "text"), [row[1:] for row in ALIKE], ids=[row[0] for row in ALIKE])
def test_without_statistics_the_same_is_found_by_reading(
    tmp_path: Path, reads: list[int], column: pa.Array, text: str
) -> None:
    write_table(tmp_path / "a.parquet", {"x": column, "y": [1, 2]}, write_statistics=False)
    (cut,) = survey(planned(tmp_path), [spec("x")], 1)
    assert cut.values == ((text,),)
    assert reads == [0]


def test_one_value_beside_nulls_is_counted_without_reading(tmp_path: Path, reads: list[int]) -> None:
    write_table(tmp_path / "a.parquet", {"x": ["a", None, None, "b", "b", "b", None], "y": [1] * 7}, [3, 3, 1])
    cuts = survey(planned(tmp_path), [spec("x"), spec("y", "x")], 1)
    assert cuts[0].values == (("(null)",), ("b",), ("a",))
    assert cuts[1].values == (("1", "(null)"), ("1", "b"), ("1", "a"))
    assert reads == []


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b"]),
        pa.array([1.5, float("nan")]),
        pa.array([1.5, 1.5]),
        pa.array([10**8, 10**8], pa.int32()).cast(pa.date32()),
        pa.array([5, 5], pa.timestamp("ns")),
        pa.array([Decimal("1.50")] * 2),
    ],
    ids=str,
)
def test_what_statistics_do_not_prove_is_read(tmp_path: Path, reads: list[int], column: pa.Array) -> None:
    write_table(tmp_path / "a.parquet", {"x": column})
    survey(planned(tmp_path), [spec("x", bins=[0, 1] if pa.types.is_floating(column.type) else None)], 1)
    assert reads == [0]


def test_two_columns_of_several_values_are_read_even_if_each_is_known(tmp_path: Path, reads: list[int]) -> None:
    write_table(tmp_path / "a.parquet", {"x": ["a", None], "y": [None, 1]})
    (cut,) = survey(planned(tmp_path), [spec("x", "y")], 1)
    assert cut.values == (("(null)", "1"), ("a", "(null)"))
    assert reads == [0]


def test_only_row_groups_that_are_not_proven_are_read(tmp_path: Path, reads: list[int]) -> None:
    write_table(tmp_path / "a.parquet", {"x": ["a", "a", "a", "b", "b", "b"]}, [2, 2, 2])
    (cut,) = survey(planned(tmp_path), [spec("x")], 1)
    assert cut.values == (("a",), ("b",))
    assert reads == [1]


@pytest.mark.parametrize("proven", [[], [0], [3], [1, 2], [0, 3], [1, 3], [0, 1, 2, 3]], ids=str)
def test_runs_of_row_groups_are_read_between_those_that_are_proven(
    tmp_path: Path, reads: list[int], proven: list[int]
) -> None:
    rows = [["a", "a"] if group in proven else ["a", f"v{group}"] for group in range(4)]
    write_table(tmp_path / "a.parquet", {"x": [value for group in rows for value in group]}, [2] * 4)
    (cut,) = survey(planned(tmp_path, 100), [spec("x")], 1)
    assert cut.values == ordered([(value,) for group in rows for value in group])
    assert reads == [group for group in range(4) if group not in proven]


def test_empty_row_groups_are_no_trouble(tmp_path: Path) -> None:
    write_table(tmp_path / "day=7" / "a.parquet", {"x": ["a", "b", "b"]}, [0, 2, 0, 0, 1, 0])
    write_table(tmp_path / "day=8" / "a.parquet", {"x": pa.array([], pa.string())}, [0])
    cuts = survey(planned(tmp_path), [spec("x"), spec("x", "day"), spec("day")], 1)
    assert [cut.values for cut in cuts] == [(("b",), ("a",)), (("b", "7"), ("a", "7")), (("7",),)]


def test_a_column_named_like_a_nested_one_is_not_mistaken_for_it(tmp_path: Path, reads: list[int]) -> None:
    table = {"a": pa.array([{"b": "x"}] * 2), "a.b": pa.array(["y", "z"]), "a.c": pa.array([1, 1])}
    write_table(tmp_path / "a.parquet", table)
    cuts = survey(planned(tmp_path), [spec("a.b"), spec("a.c")], 1)
    assert [cut.values for cut in cuts] == [(("y",), ("z",)), (("1",),)]


def test_columns_of_folders_are_known_without_reading_and_files_win(tmp_path: Path, reads: list[int]) -> None:
    for folder, rows in (("day=7", 3), ("day=8", 1), ("day=__HIVE_DEFAULT_PARTITION__", 2)):
        write_table(tmp_path / folder / "a.parquet", {"y": [1.5] * rows, "z": ["q"] * rows})
    write_table(tmp_path / "day=9" / "a.parquet", {"y": [1.5] * 4, "day": [70] * 4, "z": ["q"] * 4})
    cuts = survey(planned(tmp_path), [spec("day"), spec("z", "day")], 2)
    assert cuts[0].values == (("70",), ("7",), ("(null)",), ("8",))
    assert cuts[1].values == (("q", "70"), ("q", "7"), ("q", "(null)"), ("q", "8"))
    assert reads == []


def test_bins_are_named_and_most_frequent_first(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", {"x": [5.0, 5.0, -1.0, None, float("nan"), 5.0, 100.0, 100.0]})
    (cut,) = survey(planned(tmp_path), [spec("x", bins=[0, 10, 100])], 1)
    assert cut == Cut(
        ("x",), (("0..10",), ("100 or more",), ("(nan)",), ("(null)",), ("below 0",)), 0, ("0", "10", "100")
    )


def test_bins_of_one_number_are_known_from_statistics(tmp_path: Path, reads: list[int]) -> None:
    write_table(tmp_path / "a.parquet", {"x": [7, 7, None]})
    (cut,) = survey(planned(tmp_path), [spec("x", bins=[0, 10])], 1)
    assert cut.values == (("0..10",), ("(null)",))
    assert reads == []


def test_a_hundred_values_are_kept_and_the_others_counted(tmp_path: Path) -> None:
    values = [f"v{number:03}" for number in range(130) for _ in range(1 + (number % 7 == 0))]
    write_table(tmp_path / "a.parquet", {"x": values}, [len(values) // 2, len(values) - len(values) // 2])
    (cut,) = survey(planned(tmp_path, 10), [spec("x")], 3)
    assert (len(cut.values), cut.pooled, cut.slices) == (100, 30, 101)
    assert cut.values == ordered([(value,) for value in values])


def many(folder: Path, columns: Mapping[str, Any]) -> Plan:
    rows = len(next(iter(columns.values())))
    write_table(folder / "a.parquet", columns, [rows // 2, rows - rows // 2])
    return planned(folder, 1)


def test_a_column_of_too_many_values_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALUES_AT_MOST", 10)
    said = (
        r"slices: column `id` holds more than 10 different values; slices are for few\. Name another column, or cut "
        r"numbers by `bins: \[0, 10, 100\]`\."
    )
    with pytest.raises(DataError, match=said):
        survey(many(tmp_path, {"id": list(range(16))}), [spec("id")], 2)


def test_columns_of_too_many_values_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALUES_AT_MOST", 10)
    plan = many(tmp_path, {"a": [n // 4 for n in range(16)], "b": [n % 4 for n in range(16)]})
    said = r"slices: columns `a`, `b` hold together more than 10 different values; .* or take out the one that has most"
    with pytest.raises(DataError, match=said):
        survey(plan, [spec("a"), spec("a", "b")], 1)


def test_as_many_values_as_are_allowed_are_pooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALUES_AT_MOST", 16)
    monkeypatch.setattr(module, "VALUES_KEPT", 3)
    plan = many(tmp_path, {"a": [n // 4 for n in range(16)], "b": [n % 4 for n in range(16)]})
    (cut,) = survey(plan, [spec("a", "b")], 2)
    assert (cut.values, cut.pooled) == ((("0", "0"), ("0", "1"), ("0", "2")), 13)


def test_combinations_beyond_a_table_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TABLE_SIZE", 3)
    columns = {"a": [n % 5 for n in range(40)], "b": [n % 3 for n in range(40)], "c": ["x", "y"] * 20}
    (cut,) = survey(many(tmp_path, columns), [spec("a", "b", "c")], 1)
    assert cut.values == ordered([tuple(map(str, row)) for row in zip(*columns.values(), strict=True)])


@pytest.mark.parametrize("text", ["(null)", "(other)", "x" * 1_001])
@pytest.mark.parametrize("repeat", [1, 2], ids=["read", "proven"])
def test_a_text_that_cannot_name_a_slice_is_refused_however_it_is_found(tmp_path: Path, text: str, repeat: int) -> None:
    write_table(tmp_path / "a.parquet", {"x": [text] * repeat if repeat > 1 else [text, "b"]})
    with pytest.raises(DataError, match="column `x` of slices holds"):
        survey(planned(tmp_path), [spec("x")], 1)


def test_rows_that_cannot_be_decoded_are_left_to_the_run(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "a.parquet", {"x": ["a", "b", "c", "d"]}, [2, 2], write_page_checksum=True, use_dictionary=False
    )
    corrupt(path, 0, 1)
    (cut,) = survey(planned(tmp_path), [spec("x")], 1)
    assert cut.values == (("a",), ("b",))


def test_a_file_that_changed_since_is_left_to_the_run(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", {"x": ["a", "b"]})
    write_table(tmp_path / "b.parquet", {"x": ["c", "c"]})
    plan = planned(tmp_path)
    write_table(tmp_path / "b.parquet", {"x": ["d", "d", "d"]})
    (cut,) = survey(plan, [spec("x")], 1)
    assert cut.values == (("a",), ("b",))


def test_of_a_sample_its_rows_are_looked_at(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", {"x": [f"v{n}" for n in range(50)]}, [20, 30])
    plan = sampled(planned(tmp_path), 7, 1)
    (cut,) = survey(plan, [spec("x")], 2)
    picked = sorted(n for shard in plan.shards for piece in shard.pieces for n in memoryview(piece.picked).cast("q"))
    assert set(cut.values) == {(f"v{n}",) for n in picked}
    assert len(cut.values) == 7


def test_of_a_row_group_of_one_value_a_sample_counts_its_picked_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", {"x": ["a"] * 20 + ["b"] * 30}, [20, 30])
    for seed in range(20):
        plan = sampled(planned(tmp_path), 7, seed)
        picked = [n for shard in plan.shards for piece in shard.pieces for n in memoryview(piece.picked).cast("q")]
        (cut,) = survey(plan, [spec("x")], 1)
        assert cut.values == ordered([("a" if n < 20 else "b",) for n in picked])


@pytest.mark.parametrize(
    "kind", [pa.decimal32(5, 1), pa.decimal64(9, 3), pa.decimal128(20, 1), pa.decimal256(50, 2)], ids=str
)
def test_decimals_of_any_width_are_found(tmp_path: Path, kind: pa.DataType) -> None:
    write_table(tmp_path / "a.parquet", {"x": pa.array([Decimal("1.5"), None, Decimal("1.5"), Decimal(-2)], kind)})
    (cut,) = survey(planned(tmp_path), [spec("x")], 1)
    assert cut.values == (("1.5",), ("(null)",), ("-2",))


def test_moments_in_several_units_are_one_slice(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 25, 10)
    for number, unit in enumerate(("ms", "us", "ns")):
        write_table(tmp_path / f"{number}.parquet", {"x": pa.array([moment, None], pa.timestamp(unit))})
    (cut,) = survey(planned(tmp_path), [spec("x")], 1)
    assert cut.values == (("(null)",), ("2026-11-25T10:00:00",))
