"""What every prepared job promises, whatever its model and its data; a test class inherits these tests.

The module of that class has the fixtures `folder`, a job made once, and `twin`, the same job made by itself (see
`tests.jobs.prepare_twice`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import onnx
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from jobs.stamp import Stamp
from ortbatch.errors import JobError
from ortbatch.job import load_job
from tests.jobs import rows_of


class PreparedJob:
    """The tests; a class that inherits says how its job is made and what it holds."""

    prepare: ClassVar[Callable[[Path], Path]]
    stamp_of: ClassVar[Callable[[Path], Stamp]]
    parts: ClassVar[int]
    columns: ClassVar[dict[str, str]]

    def test_the_job_file_asks_for_nothing_unknown(self, folder: Path) -> None:
        assert [problem for problem in problems_of(folder / "job.yaml") if "not available yet" not in problem] == []

    def test_columns_have_the_promised_types_and_no_nulls(self, folder: Path) -> None:
        for half in ("train", "test"):
            table = rows_of(folder, half)
            assert {field.name: str(field.type) for field in table.schema} == self.columns
            assert sum(column.null_count for column in table.columns) == 0

    def test_each_half_is_the_promised_files(self, folder: Path) -> None:
        for half in ("train", "test"):
            names = [path.name for path in sorted((folder / "data" / half).iterdir())]
            assert names == [f"part-{number:02}.parquet" for number in range(self.parts)]

    def test_ids_are_unique_over_both_halves(self, folder: Path) -> None:
        ids = [id_ for half in ("train", "test") for id_ in rows_of(folder, half)["id"].to_pylist()]
        assert len(set(ids)) == len(ids)

    def test_a_flipped_bit_is_caught_by_the_page_checksum(self, folder: Path, tmp_path: Path) -> None:
        source = folder / "data" / "test" / "part-00.parquet"
        column = pq.read_metadata(source).row_group(0).column(1)
        damaged = bytearray(source.read_bytes())
        damaged[column.data_page_offset + column.total_compressed_size - 1] ^= 1
        path = tmp_path / source.name
        path.write_bytes(damaged)
        with pytest.raises(OSError, match="CRC checksum verification failed"):
            pq.read_table(path, page_checksum_verification=True)

    def test_the_model_is_one_file_below_a_megabyte(self, folder: Path) -> None:
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        assert not any(onnx.external_data_helper.uses_external_data(weight) for weight in model.graph.initializer)
        assert (folder / "model.onnx").stat().st_size < 1_000_000

    def test_the_model_names_no_path_of_the_machine_that_made_it(self, folder: Path) -> None:
        content = (folder / "model.onnx").read_bytes()
        assert b".py" not in content
        assert str(Path(__file__).parents[1]).encode() not in content

    def test_made_twice_every_file_is_equal_byte_for_byte(self, folder: Path, twin: Path) -> None:
        assert files_of(folder) == files_of(twin)
        unlike = [name for name in files_of(folder) if (folder / name).read_bytes() != (twin / name).read_bytes()]
        assert not unlike, unlike

    def test_a_part_of_an_older_layout_is_removed(self, twin: Path) -> None:
        assert not (twin / "data" / "test" / "part-99.parquet").exists()

    def test_a_second_preparation_writes_nothing(self, folder: Path) -> None:
        before = {name: (folder / name).stat().st_mtime_ns for name in files_of(folder)}
        type(self).prepare(folder)
        assert {name: (folder / name).stat().st_mtime_ns for name in files_of(folder)} == before

    @pytest.mark.parametrize("name", ["model.onnx", "data/train/part-03.parquet", "data/prepared.json"])
    @pytest.mark.parametrize("damage", ["missing", "changed"])
    def test_a_missing_or_changed_file_asks_for_a_new_preparation(
        self, folder: Path, tmp_path: Path, name: str, damage: str
    ) -> None:
        out = Path(shutil.copytree(folder, tmp_path / "copy"))
        stamp = type(self).stamp_of(out)
        assert stamp.is_current()
        if damage == "missing":
            (out / name).unlink()
        else:
            (out / name).write_bytes((out / name).read_bytes()[:-4])
        assert not stamp.is_current()

    def test_other_sources_ask_for_a_new_preparation(self, folder: Path) -> None:
        made_by = type(self).stamp_of(folder).made_by
        changed = [Stamp(folder, {**made_by, key: "other"}) for key in made_by]
        assert [stamp.is_current() for stamp in changed] == [False] * len(made_by)


def files_of(folder: Path) -> set[str]:
    """Everything that a preparation made."""
    made = [folder / "model.onnx", *(folder / "data").rglob("*.*")]
    return {path.relative_to(folder).as_posix() for path in made}


def problems_of(path: Path) -> list[str]:
    try:
        load_job(path)
    except JobError as error:
        return [str(problem) for problem in error.problems]
    return []


def asked(folder: Path) -> Any:
    """job.yaml as YAML says it, without ortbatch."""
    return YAML(typ="safe").load(folder / "job.yaml")
