"""Thrift's compact protocol, and Parquet files taken apart and put together with it; nothing of ortbatch in it."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.tables import MAGIC

INTEGERS, BINARY, LISTS, STRUCT = (4, 5, 6), 8, (9, 10), 12


class Thrift:
    """Reads a struct as [field, kind, value] lists; lists as [kind, items]."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content, self.at = content, at

    def number(self) -> int:
        value = shift = 0
        while True:
            byte, self.at = self.content[self.at], self.at + 1
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    def value(self, kind: int) -> Any:
        if kind in INTEGERS:
            return (number := self.number()) >> 1 ^ -(number & 1)
        if kind in LISTS:
            head, self.at = self.content[self.at], self.at + 1
            count = head >> 4 if head >> 4 < 15 else self.number()
            return [head & 15, [self.value(head & 15) for _ in range(count)]]
        if kind == STRUCT:
            return self.struct()
        length = self.number() if kind == BINARY else {1: 0, 2: 0, 3: 1, 7: 8}[kind]
        self.at += length
        return self.content[self.at - length : self.at]

    def struct(self) -> list[list[Any]]:
        fields, field = [], 0
        while head := self.content[self.at]:
            self.at += 1
            field = field + (head >> 4) if head >> 4 else self.value(4)
            fields.append([field, head & 15, self.value(head & 15)])
        self.at += 1
        return fields


def varint(value: int) -> bytes:
    value, out = value & (1 << 64) - 1, b""
    while value > 127:
        value, out = value >> 7, out + bytes([value & 127 | 128])
    return out + bytes([value])


def written(kind: int, value: Any) -> bytes:
    if kind in INTEGERS:
        return varint((value << 1) ^ (value >> 63))
    if kind in LISTS:
        of, items = value
        head = bytes([len(items) << 4 | of]) if len(items) < 15 else bytes([0xF0 | of]) + varint(len(items))
        return head + b"".join(written(of, item) for item in items)
    if kind == STRUCT:
        out, last = [], 0
        for field, of, part in value:
            short = 0 < field - last < 16
            out.append(bytes([field - last << 4 | of]) if short else bytes([of]) + written(4, field))
            out.append(written(of, part))
            last = field
        return b"".join(out) + b"\0"
    return (varint(len(value)) if kind == BINARY else b"") + value


def taken_apart(content: bytes) -> tuple[bytes, list[list[Any]]]:
    """Pages, and the footer as a struct."""
    length = int.from_bytes(content[-8:-4], "little")
    return content[: -length - 8], Thrift(content[-length - 8 : -8]).struct()


def together(body: bytes, footer: list[list[Any]]) -> bytes:
    end = written(STRUCT, footer)
    return body + end + len(end).to_bytes(4, "little") + MAGIC


def part(struct: list[list[Any]], *fields: int) -> Any:
    """The [field, kind, value] behind a path of field numbers; of lists the first item."""
    for field in fields[:-1]:
        found = next(entry for entry in struct if entry[0] == field)
        struct = found[2] if found[1] == STRUCT else found[2][1][0]
    return next(entry for entry in struct if entry[0] == fields[-1])


def content_of(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()
