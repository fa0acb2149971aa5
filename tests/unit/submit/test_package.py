"""What travels to a cluster: code, model and what the job names; not what only this machine needs, never a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ortbatch.submit.package
from ortbatch.errors import JobError
from ortbatch.job import Job
from ortbatch.submit.package import pack

JOB = {"name": "a", "model": "model.onnx", "data": {"path": "s3://b/d", "label": "y"}}

TRANSFORM = {"function": "p:f", "columns": ["c"]}


def job(folder: Path, **more: Any) -> Job:
    return Job.from_mapping({**JOB, **more}, folder)


def write(folder: Path, *names: str) -> None:
    for name in ("job.yaml", "model.onnx", *names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def names(made: Job) -> set[str]:
    return set(pack(made, "job.yaml").files)


def test_the_folder_travels(tmp_path: Path) -> None:
    write(tmp_path, "prep.py", "words/vocabulary.txt", "README.md")
    assert names(job(tmp_path)) == {"job.yaml", "model.onnx", "prep.py", "words/vocabulary.txt", "README.md"}


@pytest.mark.parametrize(
    "name", ["data/x.csv", "runs/a/report.json", ".hidden", ".git/config", "__pycache__/prep.pyc", "rows.parquet",
             "more/rows.parquet", ".venv/bin/python"],
)  # fmt: skip
def test_what_only_this_machine_needs_stays(name: str, tmp_path: Path) -> None:
    write(tmp_path, name)
    assert names(job(tmp_path)) == {"job.yaml", "model.onnx"}


@pytest.mark.parametrize("path", ["data/test/*.parquet", "data/test", "data/**/*.parquet", ["data/test/a.parquet"]])
def test_data_that_the_job_names_beside_it_travels(path: Any, tmp_path: Path) -> None:
    write(tmp_path, "data/test/a.parquet", "data/train/b.csv")
    assert names(job(tmp_path, data={"path": path, "label": "y"})) - {"job.yaml", "model.onnx"} == {
        "data/test/a.parquet"
    }


def test_models_files_and_training_data_that_the_job_names_travel_with_their_weights(tmp_path: Path) -> None:
    write(
        tmp_path,
        "data/m.onnx",
        "data/m.onnx.data",
        "data/w.safetensors",
        "data/words.txt",
        "data/train.parquet",
        "data/no",
    )
    made = job(
        tmp_path,
        model={"path": "data/m.onnx", "transform": {**TRANSFORM, "files": ["data/words.txt"]}},
        baselines={"torch": {"torch": "m:make", "weights": "data/w.safetensors"}},
        checks={"training_data": "data/train.parquet"},
    )  # fmt: skip
    assert names(made) - {"job.yaml", "model.onnx"} == {
        "data/m.onnx", "data/m.onnx.data", "data/w.safetensors", "data/words.txt", "data/train.parquet",
    }  # fmt: skip


def test_of_earlier_runs_only_reports_travel_and_they_name_no_other_evaluation(tmp_path: Path) -> None:
    write(tmp_path, "runs/a/1/report.json", "runs/a/1/report.html", "runs/a/1/predictions/part.parquet")
    made = job(tmp_path, baselines={"previous": {"run": "runs/a/*"}})
    before = pack(made, "job.yaml")
    write(tmp_path, "runs/a/2/report.json")
    after = pack(made, "job.yaml")
    assert set(before.files) == {"job.yaml", "model.onnx", "runs/a/1/report.json"}
    assert set(after.files) == {*before.files, "runs/a/2/report.json"}
    assert before.digest == after.digest


@pytest.mark.parametrize(
    "name", ["server.pem", "id_rsa", "id_ed25519.pub", "credentials", "credentials.json", "prod.env", ".env",
             "auth_token", ".aws/credentials", "deep/down/tls.key", ".netrc"],
)  # fmt: skip
def test_a_key_never_travels_even_if_the_job_names_it(name: str, tmp_path: Path) -> None:
    write(tmp_path, name)
    made = job(tmp_path, model={"path": "model.onnx", "transform": {**TRANSFORM, "files": [name]}})
    assert names(made) == {"job.yaml", "model.onnx"}


def test_an_ignore_file_adds_to_what_stays(tmp_path: Path) -> None:
    write(tmp_path, "notes/a.txt", "notes/keep.txt", "big.bin")
    (tmp_path / ".ortbatchignore").write_text("# mine\n*.bin\nnotes/*\n!notes/keep.txt\n")
    assert names(job(tmp_path)) == {"job.yaml", "model.onnx", "notes/keep.txt"}


def test_the_job_file_travels_whatever_is_ignored(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / ".ortbatchignore").write_text("*\n")
    assert names(job(tmp_path)) == {"job.yaml", "model.onnx"}


@pytest.mark.parametrize("path", ["../model.onnx", "a/../../model.onnx"])
def test_a_path_out_of_the_folder_is_refused(path: str, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(JobError, match=r"model\.path: .*lies outside of the job's folder, which is all that travels"):
        pack(job(tmp_path, model=path), "job.yaml")


def test_predictions_are_not_written_into_what_travels(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(JobError, match=r"predictions\.path: out/dt=1 would lie in a copy of the folder, which goes"):
        pack(job(tmp_path, run_dir="runs/a", predictions={"path": "out/dt=1"}), "job.yaml")
    for path in ("s3://b/out", "/mnt/out"):
        pack(job(tmp_path, run_dir="runs/a", predictions={"path": path}), "job.yaml")


def test_absolute_paths_and_uris_are_left_to_the_cluster(tmp_path: Path) -> None:
    write(tmp_path)
    made = job(tmp_path, model="/mnt/models/m.onnx", data={"path": ["/mnt/rows", "gs://b/d"], "label": "y"})
    assert names(made) == {"job.yaml", "model.onnx"}


def test_too_much_is_refused_and_the_largest_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "small.txt")
    monkeypatch.setattr(ortbatch.submit.package, "LARGEST", 1_000_000)
    (tmp_path / "large.bin").write_bytes(bytes(1_500_000))
    with pytest.raises(JobError, match=r"1\.5 MB in 4 files would travel, 1 MB .*largest are large\.bin \(1\.5 MB\)"):
        pack(job(tmp_path), "job.yaml")


def test_too_many_are_refused(tmp_path: Path) -> None:
    write(tmp_path, *(f"many/{number}" for number in range(5_000)))
    with pytest.raises(JobError, match="5,002 files would travel"):
        pack(job(tmp_path), "job.yaml")


def test_the_digest_is_one_of_names_and_contents_and_of_nothing_else(tmp_path: Path) -> None:
    digests = []
    for folder, content in (("one", "x"), ("two", "x"), ("three", "y")):
        write(tmp_path / folder, "prep.py")
        (tmp_path / folder / "prep.py").write_text(content)
        digests.append(pack(job(tmp_path / folder), "job.yaml").digest)
    (tmp_path / "two" / "prep.py").rename(tmp_path / "two" / "other.py")
    digests.append(pack(job(tmp_path / "two"), "job.yaml").digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_what_is_written_is_what_was_packed(tmp_path: Path) -> None:
    write(tmp_path / "job", "deep/down/prep.py")
    made = pack(job(tmp_path / "job"), "job.yaml")
    made.write(tmp_path / "out")
    written = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()
    }
    assert written == {name: name.encode() for name in ("job.yaml", "model.onnx", "deep/down/prep.py")}
    assert made.size == sum(map(len, written.values()))
