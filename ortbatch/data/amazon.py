"""What Amazon's own tools take from the environment, for both libraries that talk to S3: pyarrow reads, obstore writes.

Each knows a part of it; here it is found once, so that what can be read can be written. Does not look for roles: both
libraries do, in the same way.
"""

from __future__ import annotations

import configparser
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_ANY_REGION = "us-east-1"
_VALIDATION = "AWS_RESPONSE_CHECKSUM_VALIDATION"
_LOGIN = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "token",
}
_lock = threading.Lock()


def completed(root: str) -> str:
    """URI of a bucket with the endpoint of the environment, and its region, where it is on S3 and names no endpoint.

    Without a region pyarrow would ask Amazon where a bucket of that name is, whoever owns it.
    """
    parts = urlsplit(root)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    endpoint = _first(_ENDPOINTS)
    if parts.scheme != "s3" or not endpoint or "endpoint_override" in options:
        return root
    scheme, _, host = endpoint.rpartition("://")
    options |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
    options.setdefault("region", _first(_REGIONS) or _ANY_REGION)
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(options)}"


@contextmanager
def reading_ranges() -> Iterator[None]:
    """A client of pyarrow that is made within does not hash what it reads, unless the environment says that it should.

    It would do so with every algorithm that a store may have used, which takes as long as all else of reading; but S3
    gives checksums of whole objects only, and pyarrow asks for nothing but ranges.
    """
    with _lock:
        if _VALIDATION in os.environ:
            yield
            return
        os.environ[_VALIDATION] = "when_required"
        try:
            yield
        finally:
            del os.environ[_VALIDATION]


def profile_login() -> dict[str, str] | None:
    """Key, secret and token of the profile that the environment names, as obstore calls them; None if it has none.

    Keys in the environment come before it, as with Amazon's tools.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    name = _first(("AWS_PROFILE", "AWS_DEFAULT_PROFILE")) or "default"
    places = (
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
        ("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
    )
    for variable, file, section in places:
        found = _section(Path(os.environ.get(variable) or Path.home() / ".aws" / file).expanduser(), section)
        login = {ours: found[theirs] for theirs, ours in _LOGIN.items() if found.get(theirs)}
        if {"access_key_id", "secret_access_key"} <= login.keys():
            return login
    return None


def _section(path: Path, name: str) -> dict[str, str]:
    # A secret may hold a percent sign, which is nothing to fill in.
    parser = configparser.ConfigParser(interpolation=None, default_section="", strict=False)
    try:
        parser.read_string(path.read_text())
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    return dict(parser[name]) if parser.has_section(name) else {}


def _first(variables: tuple[str, ...]) -> str:
    return next((value for name in variables if (value := os.environ.get(name))), "")
