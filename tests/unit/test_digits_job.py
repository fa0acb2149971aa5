"""The digits job is what its README says: two halves of load_digits, a good model in two formats, equal each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

from jobs.digits.prepare import stamp_of
from ortbatch.job import load_job
from tests.digits import prepare_digits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_digits(tmp_path_factory.mktemp("digits")).parent


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job, made a second time, in a folder that holds a part of an older layout."""
    folder = tmp_path_factory.mktemp("digits_twin")
    stray = folder / "data" / "test" / "part-99.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"")
    return prepare_digits(folder).parent


def rows_of(folder: Path, half: str) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((folder / "data" / half).iterdir()))


def images_of(table: pa.Table) -> npt.NDArray[np.float32]:
    return np.array(table["image"].to_pylist(), np.float32).reshape(-1, 1, 8, 8)


def logits_of(folder: Path) -> npt.NDArray[np.float32]:
    """Logits of the test rows, one image at a time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    images = images_of(rows_of(folder, "test"))
    return np.concatenate([session.run(["logits"], {"image": image[None]})[0] for image in images])


def test_the_job_file_is_accepted_where_it_lies(folder: Path) -> None:
    job = load_job(folder / "job.yaml")
    assert (job.name, len(job.gates)) == ("digits", 5)


def test_the_halves_are_disjoint_and_together_all_digits(folder: Path) -> None:
    ids = [rows_of(folder, half)["id"].to_pylist() for half in ("train", "test")]
    assert [len(half) for half in ids] == [898, 899]
    assert sorted(ids[0] + ids[1]) == list(range(1797))


def test_the_halves_have_the_same_share_of_each_digit(folder: Path) -> None:
    counts = [np.bincount(rows_of(folder, half)["label"]) for half in ("train", "test")]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_a_row_holds_the_image_and_the_label_of_its_id(folder: Path) -> None:
    digits, table = load_digits(), rows_of(folder, "test")
    ids = table["id"].to_numpy()
    np.testing.assert_array_equal(images_of(table)[:, 0], digits.images[ids] / 16)
    np.testing.assert_array_equal(table["label"].to_numpy(), digits.target[ids])


def test_columns_have_the_promised_types_and_no_nulls(folder: Path) -> None:
    table = rows_of(folder, "test")
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "int64",
        "image": "fixed_size_list<element: float>[64]",
        "label": "int64",
        "ink": "string",
    }
    assert sum(column.null_count for column in table.columns) == 0


def test_ink_parts_the_rows_by_darkness_into_near_thirds(folder: Path) -> None:
    table = rows_of(folder, "test")
    ink, darkness = np.array(table["ink"]), images_of(table).mean(axis=(1, 2, 3))
    shares = [float((ink == name).mean()) for name in ("light", "medium", "heavy")]
    assert min(shares) > 0.3
    assert darkness[ink == "light"].max() < darkness[ink == "medium"].min()
    assert darkness[ink == "medium"].max() < darkness[ink == "heavy"].min()


@pytest.mark.parametrize("half", ["train", "test"])
def test_each_half_is_eight_files_of_several_row_groups(folder: Path, half: str) -> None:
    files = sorted((folder / "data" / half).iterdir())
    assert [path.name for path in files] == [f"part-{number:02}.parquet" for number in range(8)]
    assert min(pq.read_metadata(path).num_row_groups for path in files) >= 2


def test_images_are_stored_without_a_dictionary(folder: Path) -> None:
    for path in (folder / "data").glob("*/*.parquet"):
        group = pq.read_metadata(path).row_group(0)
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        assert not columns["image.list.element"].has_dictionary_page


def test_a_flipped_bit_in_an_image_is_caught_by_the_page_checksum(folder: Path, tmp_path: Path) -> None:
    source = folder / "data" / "test" / "part-00.parquet"
    column = pq.read_metadata(source).row_group(0).column(1)
    damaged = bytearray(source.read_bytes())
    damaged[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path = tmp_path / source.name
    path.write_bytes(damaged)
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        pq.read_table(path, page_checksum_verification=True)


def test_the_model_is_right_on_97_of_100_test_rows(folder: Path) -> None:
    predicted = logits_of(folder).argmax(axis=1)
    assert (predicted == rows_of(folder, "test")["label"].to_numpy()).mean() >= 0.97


def test_the_model_is_one_file_of_any_number_of_rows(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    image, logits = model.graph.input[0], model.graph.output[0]
    shapes = [[dim.dim_value or dim.dim_param for dim in it.type.tensor_type.shape.dim] for it in (image, logits)]
    assert (image.name, logits.name) == ("image", "logits")
    assert shapes == [["rows", 1, 8, 8], ["rows", 10]]
    assert not any(onnx.external_data_helper.uses_external_data(weight) for weight in model.graph.initializer)


def test_the_model_names_no_path_of_the_machine_that_made_it(folder: Path) -> None:
    assert b".py" not in (folder / "model.onnx").read_bytes()


def test_torch_and_onnx_agree(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    program = torch.export.load(folder / "model.pt2").module()
    with torch.no_grad():
        logits = program(torch.from_numpy(images_of(rows_of(folder, "test")))).numpy()
    np.testing.assert_allclose(logits, logits_of(folder), rtol=0, atol=1e-4)


def test_made_twice_the_data_is_equal_byte_for_byte(folder: Path, twin: Path) -> None:
    for path in (folder / "data").glob("*/*.parquet"):
        assert path.read_bytes() == (twin / path.relative_to(folder)).read_bytes()


def test_made_twice_the_model_predicts_the_same(folder: Path, twin: Path) -> None:
    np.testing.assert_array_equal(logits_of(folder), logits_of(twin))


def test_a_part_of_an_older_layout_is_removed(twin: Path) -> None:
    assert not (twin / "data" / "test" / "part-99.parquet").exists()


def test_a_second_preparation_writes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.name != "job.yaml"}
    prepare_digits(folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "data/test/part-03.parquet", "data/prepared.json"])
@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_missing_or_changed_file_asks_for_a_new_preparation(
    folder: Path, tmp_path: Path, name: str, damage: str
) -> None:
    out = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert stamp_of(out).is_current()
    if damage == "missing":
        (out / name).unlink()
    else:
        (out / name).write_bytes((out / name).read_bytes()[:-4])
    assert not stamp_of(out).is_current()
