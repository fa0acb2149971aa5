"""The bytes of a frozen plan and of its digest: a run's identity, the same in every version."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data import plan as plan_module
from ortbatch.data import shards as shards_module
from ortbatch.data.partitions import FolderColumn
from ortbatch.data.plan import Piece, Plan, PlannedFile, Shards
from ortbatch.job.redaction import redact

FILES = (
    PlannedFile(
        's3://key:secret@bucket/tage/tag=Süd/a "1".parquet?region=x', 'tag=Süd/a "1".parquet', 1234, "0" * 64,
        (3, 0, 4), (30, 0, 40), (FolderColumn("tag", "Süd", "string"), FolderColumn("hour", None, "int64")),
    ),
    PlannedFile("/data/b.parquet", "b.parquet", 99, "f" * 64, (5,), (1 << 40,), (FolderColumn("hour", -7, "int64"),)),
    PlannedFile("/data/c.parquet", "c.parquet", 12, "ab" * 32, (), ()),
)  # fmt: skip
PIECES = [
    [Piece(0, 0, 2, 0, 3)],
    [Piece(0, 2, 3, 3, 4), Piece(1, 0, 1, 0, 5)],
    [Piece(1, 0, 1, 0, 2, np.array([1, 4]).tobytes())],
]
JSON = (
    '{"plan_version": 1, "files": ['
    '{"uri": "s3://***@bucket/tage/tag=S\\u00fcd/a \\"1\\".parquet?region=x", '
    '"name": "tag=S\\u00fcd/a \\"1\\".parquet", "size": 1234, '
    f'"footer_sha256": "{"0" * 64}", "group_rows": [3, 0, 4], "group_bytes": [30, 0, 40], "folders": '
    '[{"name": "tag", "value": "S\\u00fcd", "kind": "string"}, {"name": "hour", "value": null, "kind": "int64"}]}, '
    '{"uri": "/data/b.parquet", "name": "b.parquet", "size": 99, '
    f'"footer_sha256": "{"f" * 64}", "group_rows": [5], "group_bytes": [1099511627776], "folders": '
    '[{"name": "hour", "value": -7, "kind": "int64"}]}, '
    '{"uri": "/data/c.parquet", "name": "c.parquet", "size": 12, '
    f'"footer_sha256": "{"ab" * 32}", "group_rows": [], "group_bytes": [], "folders": []}}], '
    '"shards": ['
    '{"id": 0, "pieces": [{"file": 0, "first_group": 0, "end_group": 2, "first_row": 0, "rows": 3}]}, '
    '{"id": 1, "pieces": [{"file": 0, "first_group": 2, "end_group": 3, "first_row": 3, "rows": 4}, '
    '{"file": 1, "first_group": 0, "end_group": 1, "first_row": 0, "rows": 5}]}, '
    '{"id": 2, "pieces": [{"file": 1, "first_group": 0, "end_group": 1, "first_row": 0, "rows": 2, '
    '"picked_sha256": "0fb84472ffe2b1591c692c9d25d94d8c28050b69e42dfc3823eb373446684311"}]}]}'
)


def plan_of(pieces: list[list[Piece]], files: tuple[PlannedFile, ...] = FILES) -> Plan:
    return Plan(files, Shards.of(files, pieces))


def test_the_text_of_a_plan_is_what_it_always_was() -> None:
    assert plan_of(PIECES).to_json() == JSON
    assert plan_of([], ()).to_json() == '{"plan_version": 1, "files": [], "shards": []}'


def test_the_digest_of_a_plan_is_what_it_always_was() -> None:
    assert plan_of(PIECES).digest() == "b3de48689edbb7cbd555bc62eda9a5542efae40b4a768d2ed858f1c73c3438c1"
    assert plan_of([], ()).digest() == "a683096011db3975a1e401e33b0047d1f2677a11efe85ef12806f016ae039795"


def named(piece: Piece) -> dict[str, Any]:
    known = {key: value for key, value in asdict(piece).items() if key != "picked"}
    return known if piece.picked is None else {**known, "picked_sha256": hashlib.sha256(piece.picked).hexdigest()}


def digest_at_once(plan: Plan) -> str:
    """The digest by one `json.dumps` of everything."""
    files = [
        (f.name, f.size, f.footer_sha256, f.group_rows, [(c.name, c.value) for c in f.folders]) for f in plan.files
    ]
    shards = [[named(piece) for piece in shard.pieces] for shard in plan.shards]
    return hashlib.sha256(json.dumps([files, shards]).encode()).hexdigest()


def json_at_once(plan: Plan) -> str:
    files = [{**asdict(file), "uri": redact(file.uri)} for file in plan.files]
    shards = [{"id": shard.id, "pieces": [named(piece) for piece in shard.pieces]} for shard in plan.shards]
    return json.dumps({"plan_version": 1, "files": files, "shards": shards})


FOLDERS = st.lists(st.lists(st.sampled_from(["a", "ab", "b", "a b", "ä"]), max_size=4), min_size=1, max_size=6)


@given(FOLDERS, st.sampled_from(["/", "/data/", "s3://key:word@bucket/", "mock://bucket/x/"]))
def test_names_are_what_is_left_below_the_folders_that_all_share(folders: list[list[str]], base: str) -> None:
    paths = [base + "/".join([*folder, f"{n}.parquet"]) for n, folder in enumerate(folders)]
    parts = [list(filter(None, path.replace("key:word@", "").split("/"))) for path in paths]
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    assert plan_module._names(paths) == ["/".join(p[shared:]) for p in parts]


PICKED = st.none() | st.lists(st.integers(0, 2**40), min_size=1, max_size=3).map(
    lambda rows: np.array(rows, np.int64).tobytes()
)
ANY_PIECE = st.builds(
    Piece, st.integers(0, 2), st.integers(0, 9), st.integers(1, 2**31 - 1), st.integers(0, 2**60), st.integers(1, 99),
    PICKED,
)  # fmt: skip


@given(st.lists(st.lists(ANY_PIECE, min_size=1, max_size=3), max_size=8), st.integers(1, 5))
def test_text_and_digest_in_parts_are_those_of_the_whole(pieces: list[list[Piece]], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "_ITEMS_AT_ONCE", at_once)
        patch.setattr(shards_module, "_AT_ONCE", at_once)
        made = plan_of(pieces)
        assert made.to_json() == json_at_once(made)
        assert made.digest() == digest_at_once(made)
