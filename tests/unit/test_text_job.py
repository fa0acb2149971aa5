"""The text job is what its README says: ragged ids of unlike sentences, and a model that padding does not touch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa
import pytest

from jobs.text.prepare import MAX_LENGTH, PAD, stamp_of
from jobs.text.sentences import CHANNELS, INTENTS, sentences
from tests.jobs import prepare_text, prepare_twice, rows_of
from tests.prepared_job import PreparedJob, asked


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepare_twice(prepare_text, tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def folder(folders: tuple[Path, Path]) -> Path:
    return folders[0]


@pytest.fixture(scope="module")
def twin(folders: tuple[Path, Path]) -> Path:
    return folders[1]


class TestPreparedText(PreparedJob):
    prepare = staticmethod(prepare_text)
    stamp_of = staticmethod(stamp_of)
    parts = 8
    columns: ClassVar = {
        "id": "int64",
        "ids": "list<element: int64>",
        "label": "string",
        "text": "string",
        "channel": "string",
    }


@pytest.fixture(scope="module")
def session(folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def test_rows(folder: Path) -> pa.Table:
    return rows_of(folder, "test")


@pytest.fixture(scope="module")
def ids(test_rows: pa.Table) -> list[list[int]]:
    return test_rows["ids"].to_pylist()


@pytest.fixture(scope="module")
def alone(session: onnxruntime.InferenceSession, ids: list[list[int]]) -> npt.NDArray[np.float32]:
    """Logits of the test rows, one sentence at a time, without padding."""
    return np.concatenate([logits_of(session, [row], len(row)) for row in ids])


def logits_of(
    session: onnxruntime.InferenceSession, rows: list[list[int]], length: int, masked: bool = True
) -> npt.NDArray[np.float32]:
    """Logits of sentences that are padded to this length."""
    padded = np.full((len(rows), length), PAD, np.int64)
    mask = np.full((len(rows), length), 0 if masked else 1, np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return session.run(["logits"], {"input_ids": padded, "attention_mask": mask})[0]


def test_lists_are_as_long_as_their_sentences(test_rows: pa.Table) -> None:
    words = [len(text.split()) for text in test_rows["text"].to_pylist()]
    assert [len(row) for row in test_rows["ids"].to_pylist()] == words


def test_lengths_differ_and_fit_the_model(ids: list[list[int]]) -> None:
    lengths = [len(row) for row in ids]
    assert min(lengths) <= 2
    assert 30 <= max(lengths) <= MAX_LENGTH
    assert len(set(lengths)) >= 25


def test_ids_are_the_lines_of_the_vocabulary(folder: Path, test_rows: pa.Table) -> None:
    words = (folder / "data" / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1]
    for ids, text in zip(test_rows["ids"].to_pylist(), test_rows["text"].to_pylist(), strict=True):
        assert [words[id_] for id_ in ids] == [word if word in words else "[unknown]" for word in text.split()]


def test_the_vocabulary_begins_with_padding_and_names_no_word_twice(folder: Path) -> None:
    words = (folder / "data" / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    assert words[:2] == ["[pad]", "[unknown]"]
    assert len(set(words)) == len(words)


def test_the_vocabulary_is_that_of_the_training_rows(folder: Path) -> None:
    words = (folder / "data" / "vocabulary.txt").read_text(encoding="utf-8").splitlines()[2:]
    counts = Counter(word for text in rows_of(folder, "train")["text"].to_pylist() for word in text.split())
    assert set(words) == {word for word, count in counts.items() if count > 1}


def test_no_token_is_padding_and_some_are_unknown(ids: list[list[int]]) -> None:
    counts = Counter(id_ for row in ids for id_ in row)
    assert counts[0] == 0
    assert 0.005 < counts[1] / counts.total() < 0.1


def test_no_text_stands_twice(folder: Path) -> None:
    texts = [text for half in ("train", "test") for text in rows_of(folder, half)["text"].to_pylist()]
    assert len(set(texts)) == len(texts) == 4000


@pytest.mark.parametrize(("column", "values"), [("label", INTENTS), ("channel", CHANNELS)])
def test_each_value_has_about_its_share(test_rows: pa.Table, column: str, values: tuple[str, ...]) -> None:
    counts = Counter(test_rows[column].to_pylist())
    assert set(counts) == set(values)
    assert all(0.8 < count * len(values) / test_rows.num_rows < 1.25 for count in counts.values())


def test_sentences_are_the_same_for_one_seed_only() -> None:
    assert sentences(50, 0) == sentences(50, 0)
    assert sentences(50, 0) != sentences(50, 1)


def test_the_model_takes_any_number_of_rows_of_any_length(session: onnxruntime.InferenceSession) -> None:
    ends = [*session.get_inputs(), *session.get_outputs()]
    assert [(it.name, it.type, it.shape) for it in ends] == [
        ("input_ids", "tensor(int64)", ["rows", "length"]),
        ("attention_mask", "tensor(int64)", ["rows", "length"]),
        ("logits", "tensor(float)", ["rows", 8]),
    ]


def test_the_model_is_right_on_seven_of_eight_test_rows(alone: npt.NDArray[np.float32], test_rows: pa.Table) -> None:
    predicted = np.array(INTENTS)[alone.argmax(axis=1)]
    assert (predicted == np.array(test_rows["label"])).mean() >= 0.875


@pytest.mark.parametrize("length", [33, MAX_LENGTH])
def test_padding_changes_no_result(
    session: onnxruntime.InferenceSession, ids: list[list[int]], alone: npt.NDArray[np.float32], length: int
) -> None:
    together = logits_of(session, ids, length)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(together.argmax(axis=1), alone.argmax(axis=1))


def test_what_stands_in_the_padding_does_not_matter(session: onnxruntime.InferenceSession) -> None:
    mask = np.array([[1, 1, 1, 0, 0]])
    logits = [
        session.run(None, {"input_ids": np.array([[5, 6, 7, *rest]]), "attention_mask": mask})[0]
        for rest in ((PAD, PAD), (8, 9))
    ]
    np.testing.assert_allclose(logits[0], logits[1], rtol=0, atol=1e-5)


def test_a_mask_that_is_all_ones_would_change_results(
    session: onnxruntime.InferenceSession, ids: list[list[int]], alone: npt.NDArray[np.float32]
) -> None:
    unmasked = logits_of(session, ids, MAX_LENGTH, masked=False)
    assert (unmasked.argmax(axis=1) != alone.argmax(axis=1)).mean() > 0.1


def test_the_job_lists_the_classes_in_the_order_of_the_model(folder: Path) -> None:
    assert asked(folder)["data"]["classes"] == list(INTENTS)


def test_the_job_feeds_both_inputs(folder: Path, session: onnxruntime.InferenceSession) -> None:
    inputs = asked(folder)["model"]["inputs"]
    assert set(inputs) == {it.name for it in session.get_inputs()}
    assert inputs["input_ids"]["pad"] == PAD
    assert inputs["input_ids"]["max_length"] == MAX_LENGTH
