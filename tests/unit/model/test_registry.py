"""Models of a registry: which URIs are, and which of the artifacts is the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortbatch.errors import ModelError
from ortbatch.model import registry
from ortbatch.model.registry import _onnx_file, fetch, is_of_registry


@pytest.mark.parametrize("uri", ["models:/a@b", "models:/a/3", "models:/a/latest", "runs:/0a/model"])
def test_a_model_of_a_registry_is_one(uri: str) -> None:
    assert is_of_registry(uri)


@pytest.mark.parametrize("uri", ["model.onnx", "models/a.onnx", "s3://models:/a", "/models:/a", "models"])
def test_a_path_is_none(uri: str) -> None:
    assert not is_of_registry(uri)


def test_without_mlflow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "has_mlflow", lambda: False)
    with pytest.raises(ModelError, match=r"models:/a@b needs mlflow, .*: pip install 'ortbatch\[mlflow\]'"):
        fetch("models:/a@b", "http://nowhere")


def made(folder: Path, *names: str, flavour: str | None = None) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    if flavour is not None:
        (folder / "MLmodel").write_text(f"flavors:\n  onnx:\n    data: {flavour}\n  python_function: {{}}\n")
    return folder


def test_the_file_that_the_onnx_flavour_names_is_the_model(tmp_path: Path) -> None:
    folder = made(tmp_path, "a.onnx", "model.onnx", flavour="model.onnx")
    assert _onnx_file(folder, "models:/a/1") == folder / "model.onnx"


def test_a_folder_that_the_onnx_flavour_names_holds_the_model(tmp_path: Path) -> None:
    folder = made(tmp_path, "model.data/model.onnx", "other.onnx", flavour="model.data")
    assert _onnx_file(folder, "models:/a/1") == folder / "model.data" / "model.onnx"


@pytest.mark.parametrize("name", ["model.onnx", "deep/er/m.onnx"])
def test_without_a_flavour_the_only_onnx_file_is_the_model(tmp_path: Path, name: str) -> None:
    assert _onnx_file(made(tmp_path, name, "readme.md"), "models:/a/1") == tmp_path / name


def test_an_artifact_that_is_a_file_is_the_model(tmp_path: Path) -> None:
    assert _onnx_file(made(tmp_path, "m.onnx") / "m.onnx", "runs:/a/m.onnx") == tmp_path / "m.onnx"


@pytest.mark.parametrize("names", [(), ("a.onnx", "b.onnx")])
def test_none_or_several_are_refused_with_their_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match=f"expected one ONNX file .* got {', '.join(names) or 'none'}"):
        _onnx_file(made(tmp_path, *names), "models:/a/1")


@pytest.mark.parametrize("hostile", ["../outside.onnx", "/etc/passwd", "[1, 2]", "'\\0'", "{}", "*x"])
def test_a_flavour_that_names_a_file_elsewhere_is_not_followed(tmp_path: Path, hostile: str) -> None:
    (tmp_path / "outside.onnx").write_bytes(b"")
    folder = made(tmp_path / "model", "m.onnx", flavour=hostile)
    assert _onnx_file(folder, "models:/a/1") == folder / "m.onnx"
