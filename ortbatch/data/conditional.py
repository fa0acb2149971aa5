"""The one thing that pyarrow's filesystems lack: writing an object only if there is none of its name.

By obstore (`If-None-Match: *`); credentials come from the URI or from where the cloud's own tools find them.
"""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ortbatch.errors import DataError, StorageError
from ortbatch.job.redaction import redact


def create_remote(uri: str, content: bytes) -> bool:
    """Write an object unless there is one; False if there is.

    Raises:
        StorageError: if it cannot be written, or obstore does not know the store.
    """
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError

    parts = urlsplit(uri)
    try:
        store, prefix = _store(f"{parts.scheme}://{parts.netloc}/?{parts.query}")
        obstore.put(store, prefix + unquote(parts.path).lstrip("/"), content, mode="create")
    except AlreadyExistsError:
        return False
    except (BaseError, ValueError, TypeError) as error:
        text = redact(" ".join(str(error).split())[:400])
        raise StorageError(f"{redact(uri)}: cannot be created: {text}") from None
    return True


@functools.lru_cache(maxsize=16)
def _store(root: str) -> tuple[Any, str]:
    """The store of a URI's host, options as pyarrow names them, and what comes before each path."""
    from obstore.store import GCSStore, S3Store, from_url

    parts = urlsplit(root)
    scheme, options = parts.scheme.lower(), {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if scheme == "s3":
        return S3Store(parts.netloc.rpartition("@")[2], **_s3(parts.username, parts.password, options)), ""
    if scheme in ("gs", "gcs"):
        return GCSStore(parts.netloc.rpartition("@")[2]), ""
    if scheme in ("abfs", "abfss"):
        return from_url(f"{parts.scheme}://{parts.netloc}/"), ""
    raise DataError(
        f"{redact(root)}: a run folder needs a store that can create a name only once: a local folder, s3://, gs:// or "
        "abfs://"
    )


def _s3(key: str | None, secret: str | None, options: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"virtual_hosted_style_request": options.get("force_virtual_addressing") == "true"}
    if key and secret:
        found |= {"access_key_id": unquote(key), "secret_access_key": unquote(secret)}
    if endpoint := options.get("endpoint_override"):
        scheme = options.get("scheme", "https")
        found["endpoint"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
        found["client_options"] = {"allow_http": found["endpoint"].startswith("http://")}
    # A store of one's own takes any region; Amazon's must be told theirs, here or in the environment.
    if region := options.get("region") or ("us-east-1" if endpoint else None):
        found["region"] = region
    return found
