"""Where the files of a run lie."""

from __future__ import annotations

import pytest

from ortbatch.engine.folder import RunFolder, differing


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("runs/a", "runs/a/report.json"),
        ("runs/a/", "runs/a/report.json"),
        ("/", "/report.json"),
        ("what?/a", "what?/a/report.json"),
        ("s3://bucket/runs/a", "s3://bucket/runs/a/report.json"),
        ("s3://bucket/runs/a/?region=eu&x=1", "s3://bucket/runs/a/report.json?region=eu&x=1"),
    ],
)
def test_a_file_lies_in_the_folder_before_the_options_of_a_uri(folder: str, file: str) -> None:
    assert RunFolder(folder).file("report.json") == file


def test_the_digest_of_all_is_not_named_where_model_or_data_explain_it() -> None:
    old = {"model": "a" * 64, "data": "d" * 64, "evaluation": "b" * 64, "threads": "1"}
    new = {**old, "model": "c" * 64, "evaluation": "e" * 64}
    assert differing(old, new) == "model is aaaaaaaaaaaa there, cccccccccccc here"


def test_a_part_that_one_side_lacks_is_unknown_there() -> None:
    assert differing({}, {"threads": "1"}) == "threads is unknown there, 1 here"
