"""The report as one line of the log: the way back that every cluster has, whatever its run folder is.

    ortbatch-report 4021 9f86d081884c7d65 H4sIAAAA...

Bytes of the text, the start of its SHA-256, the text compressed in base64. A line that was cut or changed is none.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import zlib

MARK = "ortbatch-report "
_SHOWN = 16
_GZIP = 16 + zlib.MAX_WBITS
_LARGEST = 256 << 20


def line_of(report: bytes) -> str:
    r"""The line that carries a report.

    >>> report_in("noise\n" + line_of(b"{}") + "\nmore")
    b'{}'
    """
    packed = base64.b64encode(gzip.compress(report, mtime=0)).decode()
    return f"{MARK}{len(report)} {_sum(report)} {packed}"


def report_in(log: str) -> bytes | None:
    """The last report that a log carries whole; None if there is none."""
    for line in reversed(log.splitlines()):
        if line.startswith(MARK) and (report := _read(line)) is not None:
            return report
    return None


def _read(line: str) -> bytes | None:
    match line.removeprefix(MARK).split():
        case [size, checksum, packed] if size.isdigit() and int(size) <= _LARGEST:
            try:
                # No more than it says, whatever it would unpack to.
                unpacker = zlib.decompressobj(_GZIP)
                report = unpacker.decompress(base64.b64decode(packed, validate=True), int(size) + 1)
            except (binascii.Error, zlib.error, ValueError):
                return None
            whole = unpacker.eof and len(report) == int(size) and _sum(report) == checksum
            return report if whole else None
    return None


def _sum(report: bytes) -> str:
    return hashlib.sha256(report).hexdigest()[:_SHOWN]
