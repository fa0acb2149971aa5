"""Nothing that is submitted holds a secret: a cluster shows commands, settings and logs to all who may look at it.

Searched are the job's texts, what is given beside it, and every byte of every file that travels: for logins in URIs,
private keys, key ids of AWS, and for the values of this process' own secrets. What is found is named, never shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ortbatch.errors import JobError, Problem
from ortbatch.job.redaction import redact

_SHORTEST = 8
_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE)
# `RAY_AUTH_MODE`, `AWS_WEB_IDENTITY_TOKEN_FILE`: how, or where, but not what.
_NO_VALUE = re.compile(r"_(PATH|FILE|MODE|URI|URL|ENDPOINT|NAME|TYPE)$", re.IGNORECASE)
_SHAPES = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a key id of AWS": re.compile(rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    # Not where something is to be filled in: {key}:{secret}@, $KEY:$SECRET@, <key>:<secret>@, ***.
    "a login in a URI": re.compile(rb"://[^\s/:@\"'{}$<*]{1,200}:[^\s/@\"'{}$<*]{1,200}@"),
}
_DO = (
    "clusters show to many what is submitted. Take it out: give the nodes of the cluster a role, or the variables in "
    "their own environment"
)


def secrets_of(environment: Mapping[str, str]) -> dict[str, bytes]:
    """Values of an environment that must not travel, by the names of their variables; Ray's token is among them.

    >>> secrets_of({"AWS_SECRET_ACCESS_KEY": "wJalrXUt", "RAY_AUTH_MODE": "token"})
    {'AWS_SECRET_ACCESS_KEY': b'wJalrXUt'}
    """
    found = {name: value for name, value in environment.items() if _NAMES.search(name) and not _NO_VALUE.search(name)}
    for path in filter(None, (environment.get("RAY_AUTH_TOKEN_PATH"), _default_token(environment))):
        try:
            found["Ray's token"] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        break
    return {name: value.encode() for name, value in found.items() if len(value) >= _SHORTEST}


def _default_token(environment: Mapping[str, str]) -> str | None:
    home = environment.get("HOME")
    return None if home is None else os.path.join(home, ".ray", "auth_token")  # noqa: PTH118  (it may not exist)


def texts_of(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested mappings and lists, by its dotted key.

    >>> list(texts_of({"model": {"path": "m.onnx"}, "gates": ["a", 1]}))
    [('model.path', 'm.onnx'), ('gates.1', 'a')]
    """
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping | list):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value, 1)
        for key, part in parts:
            yield from texts_of(part, f"{where}.{key}" if where else str(key))


def refuse_secrets(given: Iterable[tuple[str, str]], files: Mapping[str, Path], secrets: Mapping[str, bytes]) -> None:
    """Refuse to submit what holds a secret.

    Args:
        given: what gave a text (`--set`, a key of the job), and the text; the same may give several.
        files: that travel, by their names in the package.
        secrets: values that must not be in there, by their names.

    Raises:
        JobError: with every place; no message holds what was found.
    """
    problems = [Problem(where, "", f"holds {what}; {_DO}") for where, what in _in_texts(given, secrets)]
    for name, path in files.items():
        for what, line in _in_bytes(path.read_bytes(), secrets):
            said = f"holds {what}; {_DO}; or keep the file here: name it in .ortbatchignore"
            problems.append(Problem(f"{name}:{line}", "", said))
    if problems:
        raise JobError(problems)


def _in_texts(given: Iterable[tuple[str, str]], secrets: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for where, text in given:
        found = [what for what, _ in _in_bytes(text.encode(), secrets)]
        if not found and redact(text) != text:
            found = ["a login or token in a URI"]
        yield from ((where, what) for what in found)


def _in_bytes(content: bytes, secrets: Mapping[str, bytes]) -> Iterator[tuple[str, int]]:
    """What is found, and in which line."""
    for name, value in secrets.items():
        if (place := content.find(value)) >= 0:
            yield f"the value of {name}", 1 + content.count(b"\n", 0, place)
    for what, shape in _SHAPES.items():
        if match := shape.search(content):
            yield what, 1 + content.count(b"\n", 0, match.start())
