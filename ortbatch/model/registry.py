"""Models of an MLflow registry or run: `models:/name@alias`, `models:/name/3`, `models:/name/latest`, `runs:/id/path`.

What a name means now is settled first: the report names the version, not the alias. A version is downloaded once a
process, however often it is asked for, into a folder that is gone when the process ends.
"""

from __future__ import annotations

import atexit
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ortbatch.errors import ModelError
from ortbatch.job.redaction import redact
from ortbatch.mlflow_client import INSTALL, Missing, connected, has_mlflow

_URI = re.compile(r"(models|runs):/")
_NAMED = re.compile(r"models:/(?P<name>[^/]+?)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+|latest))")
_SHOWN = 5


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Args:
        name: of the model.
        version: its number.
        alias: by which the job names it; None where it names the version.
    """

    name: str
    version: str
    alias: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """For the report."""
        return {"name": self.name, "version": self.version, "alias": self.alias}


def is_of_registry(uri: str) -> bool:
    """Does a URI name a model of a registry or of a run there?

    >>> is_of_registry("models:/fraud@champion"), is_of_registry("s3://models/fraud.onnx")
    (True, False)
    """
    return _URI.match(uri) is not None


def fetch(uri: str, server: str | None) -> tuple[str, Registered | None]:
    """Download a model; returns its ONNX file, and which version it is if it is a registered one.

    Args:
        uri: `models:/...` or `runs:/...`.
        server: URI of the MLflow server; None for the one that the environment names.

    Raises:
        ModelError: if there is no such model, or no ONNX file in it.
        StorageError: if the server cannot be reached.
    """
    if not has_mlflow():
        raise ModelError(f"model.path: {uri} {INSTALL}")
    try:
        with connected(server) as at:
            registered = _settled(at.client, uri)
            if registered is None:
                place = at.download(uri, tempfile.mkdtemp(dir=_folder()))
            else:
                place = _downloaded(at.uri, registered.name, registered.version)
    except Missing as error:
        where = redact(server or "the server that MLFLOW_TRACKING_URI names")
        raise ModelError(f"model.path: no {uri} at {where}: {error}") from None
    return str(_onnx_file(Path(place), uri)), registered


@cache
def _downloaded(server: str, name: str, version: str) -> str:
    """Where the artifacts of a version lie."""
    with connected(server) as at:
        place = at.client.get_model_version_download_uri(name, version)
        return at.download(place, tempfile.mkdtemp(dir=_folder()))


def _settled(client: Any, uri: str) -> Registered | None:
    """The version that a URI stands for; None for a model that no registry counts."""
    match = _NAMED.fullmatch(uri)
    if match is None:
        if uri.startswith("models:/") and not re.fullmatch(r"models:/m-\w+", uri):
            raise ModelError(
                f"model.path: {uri}: expected models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest or "
                "runs:/ID/PATH."
            )
        return None
    name, alias, version = match["name"], match["alias"], match["version"]
    if alias is not None:
        return Registered(name, _version_by_alias(client, name, alias), alias)
    if version == "latest":
        quote = '"' if "'" in name else "'"
        found = client.search_model_versions(f"name={quote}{name}{quote}")
        if not found:
            raise Missing("the registered model has no version")
        version = str(max(int(each.version) for each in found))
    return Registered(name, str(client.get_model_version(name, version).version))


def _version_by_alias(client: Any, name: str, alias: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        # MLflow calls an alias that there is not an invalid value.
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise Missing(str(error)) from None
        raise


def _onnx_file(place: Path, uri: str) -> Path:
    """The ONNX file of a model: the one that its MLmodel names, else the only one there."""
    if place.is_file():
        return place
    found = sorted(place.rglob("*.onnx"))
    named = _named_by_flavour(place)
    if named is not None and named.resolve() in [path.resolve() for path in found]:
        return named
    if len(found) != 1:
        seen = ", ".join(str(path.relative_to(place)) for path in found[:_SHOWN]) or "none"
        raise ModelError(
            f"model.path: {uri}: expected one ONNX file among its artifacts, got {seen}. Log the model with the onnx "
            "flavour, or a single .onnx file."
        )
    return found[0]


def _named_by_flavour(folder: Path) -> Path | None:
    """What MLflow's onnx flavour calls the model; None if there is no such flavour."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        flavours = YAML(typ="safe").load((folder / "MLmodel").read_text())["flavors"]
        named = folder / str(flavours["onnx"]["data"])
    except (OSError, YAMLError, ValueError, KeyError, TypeError):
        return None
    # MLflow also writes a folder, for models with their weights in files of their own.
    return next(iter(sorted(named.glob("*.onnx"))), named) if named.is_dir() else named


@cache
def _folder() -> str:
    folder = tempfile.TemporaryDirectory(prefix="ortbatch-models-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return folder.name
