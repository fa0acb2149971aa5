"""Damaged files are an error or change nothing, files without rows change no count, and nothing in a file is run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ortbatch.api import Options, run_job
from ortbatch.data.footer import read_footer
from ortbatch.data.plan import make_plan
from ortbatch.data.reader import Reader
from ortbatch.errors import DataError
from ortbatch.job import Job
from tests.models import linear_model
from tests.tables import MAGIC, corrupt, write_table
from tests.thrift import content_of

ROOT = Path(__file__).resolve().parents[2]
PLAIN = pa.table(
    {
        "x": pa.array(np.arange(60, dtype=np.float32)), "y": pa.array(np.arange(60) % 3),
        "text": [None if i % 7 == 0 else f"c{i % 5}" for i in range(60)], "words": [["a", None, "b"]] * 60,
        "list": [[float(i)] * (i % 4) for i in range(60)], "flag": [i % 2 == 0 for i in range(60)],
    }
)  # fmt: skip


def tables_of(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    with Reader(columns) as rows:
        for shard in make_plan([str(path)], None, lambda where, schema: None).shards:
            for block in rows.read(shard):
                yield block.table


def test_zeros_anywhere_in_a_file_with_checksums_are_an_error_or_change_nothing(tmp_path: Path) -> None:
    content = content_of(PLAIN, row_group_size=40, write_page_checksum=True, compression="none")
    path, outcomes = tmp_path / "a.parquet", Counter[bool]()
    for at in range(0, len(content), 61):
        path.write_bytes(content[:at] + bytes(min(61, len(content) - at)) + content[at + 61 :])
        try:
            found = pa.concat_tables(t.select(PLAIN.column_names) for t in tables_of(path, PLAIN.column_names))
        except DataError:
            outcomes[False] += 1
        else:
            outcomes[True] += 1
            assert found.equals(PLAIN)
    assert outcomes[False] > 50


@pytest.mark.parametrize("content", [bytes(50_000), MAGIC + bytes(50_000) + MAGIC])
def test_a_file_of_zeros_is_no_parquet_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: not a readable Parquet file"):
        read_footer(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["x", "text", "list"])
def test_a_flipped_bit_is_an_error_where_pages_have_checksums(tmp_path: Path, name: str) -> None:
    table = pa.table({"x": np.arange(50_000, dtype=np.float32), "text": ["ab"] * 50_000,
                      "list": [[1.0, 2.0]] * 50_000})  # fmt: skip
    path = write_table(tmp_path / "a.parquet", table.select([name]), write_page_checksum=True, use_dictionary=False)
    corrupt(path, column=0, group=0, mask=4)
    with pytest.raises(DataError, match=r"row group 0 cannot be decoded: .*CRC"):
        list(tables_of(path, [name]))


def job_of(folder: Path) -> Job:
    linear_model(folder / "m.onnx", 4, 2)
    data = {"path": "data", "label": "y"}
    keys = {"name": "t", "model": "m.onnx", "data": data, "latency": {"max_seconds": 0.01}}
    return Job.from_mapping(keys, folder)


def labelled(rows: int) -> pa.Table:
    lists = pa.array(np.random.default_rng(rows).normal(size=(rows, 4)).tolist(), pa.list_(pa.float32(), 4))
    return pa.table({"x": lists, "y": pa.array(np.arange(rows) % 2, pa.int64())})


def test_files_and_row_groups_without_rows_among_others_change_no_count(tmp_path: Path) -> None:
    write_table(tmp_path / "data" / "a.parquet", labelled(0))
    write_table(tmp_path / "data" / "b.parquet", labelled(30), [0, 20, 0, 10])
    write_table(tmp_path / "data" / "c.parquet", labelled(0), [])
    write_table(tmp_path / "data" / "d.parquet", labelled(12))
    report = run_job(job_of(tmp_path), Options(run_dir=str(tmp_path / "run"), engine="inline")).report
    assert report.data["coverage"]["rows"]["evaluated"] == 42
    assert report.confusion_matrix.sum(axis=1).tolist() == [21, 21]


class Trap:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


class Marked(pa.ExtensionType):  # type: ignore[misc]
    """A type whose remarks are what the trap leaves of itself."""

    def __init__(self, name: str, remarks_: bytes) -> None:
        self._remarks = remarks_
        super().__init__(pa.list_(pa.float32(), 4), name)

    def __arrow_ext_serialize__(self) -> bytes:
        return self._remarks


TYPES = ("arrow.py_extension_type", "ray.data.arrow_tensor", "ray.data.arrow_tensor_v2", "pandas.period")


def write_traps(folder: Path, mark: Path) -> None:
    """Files of lists in types of Python objects, whose remarks are pickles."""
    for number, name in enumerate(TYPES):
        rows = labelled(20)
        marked = pa.ExtensionArray.from_storage(Marked(name, pickle.dumps(Trap(mark))), rows["x"].combine_chunks())
        rows = rows.set_column(0, "x", marked).replace_schema_metadata({"pickle": pickle.dumps(Trap(mark))})
        write_table(folder / f"{number}.parquet", rows)


RUN = """
import sys
from ortbatch.api import Options, run_job
from ortbatch.job import load_job
import ortbatch.engine.cluster
report = run_job(load_job(sys.argv[1]), Options(run_dir=sys.argv[2], engine="inline")).report
print(report.data["coverage"]["rows"]["evaluated"], sorted(n for n in sys.modules if n.startswith("ray.data")))
"""


def test_types_of_python_objects_are_lists_and_nothing_is_unpickled(tmp_path: Path) -> None:
    mark, job = tmp_path / "mark", tmp_path / "job.yaml"
    write_traps(tmp_path / "data", mark)
    linear_model(tmp_path / "m.onnx", 4, 2)
    job.write_text("{name: t, model: m.onnx, data: {path: data, label: y}, latency: {max_seconds: 0.01}}")
    command = [sys.executable, "-W", "error", "-c", RUN, job, tmp_path / "run"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr[-500:]) == (f"{20 * len(TYPES)} []\n", "")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Trap(mark)))
    assert mark.exists()


def test_no_source_of_the_package_imports_ray_data_or_unpickles() -> None:
    sources = {path: path.read_text() for path in (ROOT / "ortbatch").rglob("*.py")}
    words = ("ray.data", "import pickle", "cloudpickle", "allow_pickle", "import joblib", "eval(")
    assert {word: path.name for path, text in sources.items() for word in words if word in text} == {}
    assert len(sources) > 50


def test_pipes_among_the_data_are_not_waited_for(tmp_path: Path) -> None:
    write_table(tmp_path / "data" / "a.parquet", labelled(12))
    os.mkfifo(tmp_path / "data" / "b.parquet")
    report = run_job(job_of(tmp_path), Options(run_dir=str(tmp_path / "run"), engine="inline")).report
    assert report.data["coverage"]["rows"]["evaluated"] == 12
