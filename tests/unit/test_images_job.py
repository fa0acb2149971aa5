"""The images job is what its README says: JPEGs from parted pictures, a decoder, a model that mostly tells them."""

from __future__ import annotations

import io
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa
import pytest
from PIL import Image

from jobs.images.prep import decode
from jobs.images.prepare import PICTURES, TILE, crop, read_picture, stamp_of, tiles_of
from tests.jobs import JOBS, prepare_images, prepare_twice, rows_of
from tests.prepared_job import PreparedJob, asked


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepare_twice(prepare_images, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def folder(folders: tuple[Path, Path]) -> Path:
    return folders[0]


@pytest.fixture(scope="module")
def twin(folders: tuple[Path, Path]) -> Path:
    return folders[1]


class TestPreparedImages(PreparedJob):
    prepare = staticmethod(prepare_images)
    stamp_of = staticmethod(stamp_of)
    parts = 8
    columns: ClassVar = {"id": "int64", "jpeg": "binary", "label": "string", "quality": "int64"}


@pytest.fixture(scope="module")
def session(folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def batch(folder: Path) -> pa.RecordBatch:
    """All test rows."""
    return rows_of(folder, "test").combine_chunks().to_batches()[0]


@pytest.fixture(scope="module")
def pixels(batch: pa.RecordBatch) -> npt.NDArray[np.float32]:
    return decode(batch)["pixels"]


@pytest.fixture(scope="module")
def probabilities(session: onnxruntime.InferenceSession, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One image at a time."""
    return np.concatenate([session.run(["probabilities"], {"pixels": image[None]})[0] for image in pixels])


def one_row(content: bytes) -> pa.RecordBatch:
    return pa.record_batch({"jpeg": pa.array([content], pa.binary())})


def encoded(image: Image.Image, form: str) -> bytes:
    content = io.BytesIO()
    image.save(content, form)
    return content.getvalue()


@pytest.mark.parametrize("half", ["train", "test"])
def test_each_class_has_two_hundred_rows(folder: Path, half: str) -> None:
    assert Counter(rows_of(folder, half)["label"].to_pylist()) == dict.fromkeys(PICTURES, 200)


def test_every_row_is_a_whole_jpeg_of_64_by_64_pixels(batch: pa.RecordBatch) -> None:
    for content in batch.column("jpeg").to_pylist():
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert (image.format, image.size) == ("JPEG", (64, 64))


def test_some_jpegs_have_colors_and_some_have_none(batch: pa.RecordBatch) -> None:
    modes = Counter(Image.open(io.BytesIO(content)).mode for content in batch.column("jpeg").to_pylist())
    assert min(modes["L"], modes["RGB"]) > 200


def test_no_jpeg_stands_twice(folder: Path) -> None:
    jpegs = [content for half in ("train", "test") for content in rows_of(folder, half)["jpeg"].to_pylist()]
    assert len(set(jpegs)) == len(jpegs) == 4000


def test_rows_of_a_class_do_not_stand_together(batch: pa.RecordBatch) -> None:
    labels = batch.column("label").to_pylist()
    assert sum(one == other for one, other in pairwise(labels)) < 0.2 * len(labels)


@pytest.mark.parametrize("name", PICTURES.values())
def test_every_picture_has_tiles_of_both_colors_and_none_in_both(name: str) -> None:
    black, white = (set(tiles_of(read_picture(name), color)) for color in (0, 1))
    assert min(len(black), len(white)) >= 9
    assert not black & white
    assert all(x % TILE == y % TILE == 0 for x, y in black | white)


def test_a_crop_sees_no_pixel_beyond_its_tile() -> None:
    values = np.full((3 * TILE, 3 * TILE), 255, np.uint8)
    values[TILE : 2 * TILE, TILE : 2 * TILE] = 0
    random = np.random.default_rng(0)
    crops = [crop(Image.fromarray(values), (TILE, TILE), random)[0] for _ in range(200)]
    # What JPEG makes of black is nearly black.
    assert max(np.asarray(Image.open(io.BytesIO(content))).max() for content in crops) <= 3


def test_decoding_halves_the_sides_by_the_mean_of_four_pixels(batch: pa.RecordBatch) -> None:
    jpegs = batch.column("jpeg").to_pylist()[:50]
    whole = np.stack([np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float64) for content in jpegs])
    expected = whole.reshape(50, 32, 2, 32, 2, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2) / 255
    # Pillow rounds twice, across and down.
    np.testing.assert_allclose(decode(batch.slice(0, 50))["pixels"], expected, rtol=0, atol=1.01 / 255)


def test_decoding_gives_what_the_model_takes(session: onnxruntime.InferenceSession, batch: pa.RecordBatch) -> None:
    (given,) = decode(batch.slice(0, 3)).items()
    (taken,) = session.get_inputs()
    assert (given[0], given[1].dtype, given[1].shape) == (taken.name, np.float32, (3, *taken.shape[1:]))
    assert 0 <= given[1].min() < given[1].max() <= 1


def test_decoding_does_not_depend_on_the_company(batch: pa.RecordBatch, pixels: npt.NDArray[np.float32]) -> None:
    alone = [decode(batch.slice(row, 1))["pixels"] for row in range(20, 30)]
    np.testing.assert_array_equal(np.concatenate(alone), pixels[20:30])


def test_no_rows_are_decoded_to_no_images(batch: pa.RecordBatch) -> None:
    assert decode(batch.slice(0, 0))["pixels"].shape == (0, 3, 32, 32)


@pytest.mark.parametrize("content", [b"", b"no image", encoded(Image.new("RGB", (64, 64)), "PNG")])
def test_what_is_no_jpeg_is_not_decoded(content: bytes) -> None:
    with pytest.raises(OSError, match="cannot identify image file"):
        decode(one_row(content))


def test_a_jpeg_cut_short_is_not_decoded(batch: pa.RecordBatch) -> None:
    content = batch.column("jpeg")[0].as_py()
    with pytest.raises(OSError, match=r"(?i)truncated"):
        decode(one_row(content[: len(content) // 2]))


def test_the_model_takes_any_number_of_rows(session: onnxruntime.InferenceSession) -> None:
    ends = [*session.get_inputs(), *session.get_outputs()]
    assert [(it.name, it.type, it.shape) for it in ends] == [
        ("pixels", "tensor(float)", ["rows", 3, 32, 32]),
        ("probabilities", "tensor(float)", ["rows", 10]),
    ]


def test_the_model_is_right_on_four_of_five_test_rows(
    probabilities: npt.NDArray[np.float32], batch: pa.RecordBatch
) -> None:
    predicted = np.array(list(PICTURES))[probabilities.argmax(axis=1)]
    assert (predicted == np.array(batch.column("label"))).mean() >= 0.8


def test_probabilities_add_up_to_one(probabilities: npt.NDArray[np.float32]) -> None:
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-5)


def test_an_image_scores_the_same_alone_and_in_company(
    session: onnxruntime.InferenceSession,
    pixels: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
) -> None:
    together = session.run(["probabilities"], {"pixels": pixels})[0]
    np.testing.assert_allclose(together, probabilities, rtol=0, atol=1e-5)


def test_the_job_lists_the_classes_in_the_order_of_the_model(folder: Path) -> None:
    assert asked(folder)["data"]["classes"] == list(PICTURES)


def test_the_job_names_the_decoder_and_its_column(folder: Path) -> None:
    assert asked(folder)["model"]["transform"] == {"function": "prep:decode", "columns": ["jpeg"]}
    assert (folder / "prep.py").read_bytes() == (JOBS / "images" / "prep.py").read_bytes()
