"""Writing objects by obstore: one of a name only if there is none, and any as a whole.

pyarrow's filesystems have no conditional write, and a stream of theirs that is given up leaves what it was given so far
as a complete object. Credentials come from the URI or from where the cloud's own tools find them; of profiles of Amazon
those that hold keys.
"""

from __future__ import annotations

import errno
import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ortbatch.data.amazon import completed, profile_login
from ortbatch.data.storage import locate
from ortbatch.errors import DataError

_S3, _GCS, _AZURE = ("s3",), ("gs", "gcs"), ("abfs", "abfss")
_RETRIES = 10


def is_known(uri: str) -> bool:
    """Does obstore know the store of a URI?"""
    return urlsplit(uri).scheme in (*_S3, *_GCS, *_AZURE)


def create_remote(uri: str, content: bytes) -> None:
    """Write an object unless there is one.

    Raises:
        FileExistsError: if there is one.
        OSError: if it cannot be written, or the answer was lost; then it may be there all the same.
        DataError: if obstore does not know the store.
    """
    import obstore

    with _as_os_errors():
        # An attempt of obstore's own, after one whose answer was lost, would find the object there and not say whose.
        obstore.put(_store(_root(uri), retries=0), _key(uri), content, mode="create")


def replace_remote(uri: str, content: bytes) -> None:
    """Write an object, or replace it; raises as `create_remote`, but FileExistsError."""
    import obstore

    with _as_os_errors():
        obstore.put(_store(_root(uri), retries=_RETRIES), _key(uri), content)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Errors of obstore as those of Python, in few words."""
    from obstore import exceptions as of

    try:
        yield
    except of.AlreadyExistsError as error:
        text = _said(error)
        # S3 says so where two write at once, and the other may yet fail.
        raise (OSError if "ConditionalRequestConflict" in text else FileExistsError)(text) from None
    except (of.PermissionDeniedError, of.UnauthenticatedError) as error:
        raise PermissionError(_said(error)) from None
    except (of.NotFoundError, FileNotFoundError) as error:
        raise FileNotFoundError(_said(error)) from None
    except of.GenericError as error:
        raise OSError(_said(error)) from None
    except (of.BaseError, ValueError, TypeError) as error:
        raise OSError(errno.EINVAL, _said(error)) from None


def _said(error: Exception) -> str:
    return " ".join(str(error).partition("Debug source:")[0].split())[:400]


def _root(uri: str) -> str:
    parts = urlsplit(uri)
    return completed(f"{parts.scheme}://{parts.netloc}/{'?' if parts.query else ''}{parts.query}")


def _key(uri: str) -> str:
    return unquote(urlsplit(uri).path).lstrip("/")


@functools.lru_cache(maxsize=16)
def _store(root: str, retries: int) -> Any:
    """The store of a URI's host, options as pyarrow names them."""
    from obstore.store import GCSStore, S3Store, from_url

    parts = urlsplit(root)
    user, _, host = parts.netloc.rpartition("@")
    config: Any = {"retry_config": {"max_retries": retries}}
    if parts.scheme in _S3:
        return S3Store(host, **_s3_config(root), **config)
    if parts.scheme in _GCS:
        return GCSStore(host, **_gcs_config(parts.query, user == "anonymous"), **config)
    if parts.scheme in _AZURE:
        return from_url(f"{parts.scheme}://{parts.netloc}/", **config)
    raise DataError(
        f"{parts.scheme}://{host}: a run folder needs a store that can create a name only once: use a local folder, "
        "s3://, gs:// or abfs://"
    )


def _gcs_config(query: str, anonymous: bool) -> dict[str, Any]:
    """What obstore is to know of a store of Google, or of one that speaks as it does."""
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    if not (endpoint := options.get("endpoint_override")):
        return {"skip_signature": anonymous}
    scheme = options.get("scheme", "https")
    found: dict[str, Any] = {"client_options": {"allow_http": scheme == "http"}}
    address = f"{scheme}://{endpoint}"
    if not anonymous:
        return {**found, "base_url": address}
    # To leave out the signature is not enough: to write, a token would be asked for.
    key = {"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    return {**found, "service_account_key": json.dumps(key), "skip_signature": True}


def _s3_config(root: str) -> dict[str, Any]:
    """What obstore is to know of an S3 store: the same as pyarrow."""
    parts = urlsplit(root)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    found: dict[str, Any] = {}
    if parts.username and parts.password:
        login = {"access_key_id": unquote(parts.username), "secret_access_key": unquote(parts.password)}
        # Given as plain options, they would go with the session token of the environment, which is of another key.
        found["credential_provider"] = lambda: {**login, "expires_at": None}
    elif profile := profile_login():
        found["credential_provider"] = lambda: {**profile, "expires_at": None}
    if virtual := options.get("force_virtual_addressing", "").lower() in ("true", "1"):
        found["virtual_hosted_style_request"] = True
    if endpoint := options.get("endpoint_override"):
        scheme, _, host = f"{options.get('scheme', 'https')}://{endpoint}".rpartition("://")
        scheme = scheme.rpartition("://")[2]
        # obstore takes a virtual host as it stands, and would ask another bucket without this one in it.
        found["endpoint"] = f"{scheme}://{parts.netloc.rpartition('@')[2]}.{host}" if virtual else f"{scheme}://{host}"
        found["client_options"] = {"allow_http": scheme == "http"}
    # pyarrow asks Amazon where a bucket is; obstore would take the region of the environment, and be refused.
    found["region"] = options.get("region") or locate(root)[0].region
    return found
