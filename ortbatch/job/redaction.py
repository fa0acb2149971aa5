"""Secrets in URIs never reach a report, a message or a log.

Removed are the credentials before the host (`s3://key:secret@bucket`) and the values of query parameters whose names
tell of a secret (`?sig=...`, `?X-Amz-Signature=...`). Where a text can be read in two ways, more is removed.
"""

from __future__ import annotations

import re

MARK = "***"

# After `key:` the secret reaches to the last @ of the word, as unescaped secrets hold slashes; `host:9000/` is a port.
_CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/?#@:]*:(?!\d{1,5}(?:[/?#]|$))\S*|[^\s/?#]+)@")
_PARAMETER = re.compile(
    r"([?&;](?:[^=&;\s#]*(?:secret|token|signature|password|passwd|credential|access_?key|api_?key)[^=&;\s#]*|sig|key)=)"
    r"[^&;\s#]*",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Replace every secret that stands in a URI of `text` by `***`; a second pass changes nothing.

    >>> redact("s3://AKIA:secret@bucket/data?token=abc&region=eu")
    's3://***@bucket/data?token=***&region=eu'
    """
    return _PARAMETER.sub(rf"\g<1>{MARK}", _CREDENTIALS.sub(f"{MARK}@", text))


def redacted(value: object) -> object:
    """`value`, nested mappings and lists of plain values, with `redact` applied to every text but the keys."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redacted(part) for key, part in value.items()}
    if isinstance(value, list):
        return [redacted(part) for part in value]
    return value
