"""Protobuf's wire format by hand, so that it can be wrong.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
_MORE = 0x80


def varint(value: int, *, width: int = 0) -> bytes:
    """A varint; negative numbers as 64 bits, with `width` in at least so many bytes."""
    value &= (1 << 64) - 1 if value < 0 else -1
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    encoded.append(value)
    while len(encoded) < width:
        encoded[-1] |= _MORE
        encoded.append(0)
    return bytes(encoded)


def tag(number: int, wire: int, *, width: int = 0) -> bytes:
    """The key of a field."""
    return varint(number << 3 | wire, width=width)


def integer(number: int, value: int) -> bytes:
    """A varint field."""
    return tag(number, VARINT) + varint(value)


def text(number: int, value: bytes | str) -> bytes:
    """A string, bytes or message field."""
    raw = value.encode() if isinstance(value, str) else value
    return tag(number, BYTES) + varint(len(raw)) + raw


def group(number: int, content: bytes) -> bytes:
    """A group."""
    return tag(number, GROUP) + content + tag(number, END_GROUP)


def fields(data: bytes) -> dict[int, list[int | bytes]]:
    """The top-level fields of a well-formed message, for replies that are judged."""
    found: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        key, at = _read(data, at)
        if key & 7 == VARINT:
            value, at = _read(data, at)
            found.setdefault(key >> 3, []).append(value)
        elif key & 7 == BYTES:
            size, at = _read(data, at)
            found.setdefault(key >> 3, []).append(data[at : at + size])
            at += size
        else:
            at += {FIXED64: 8, FIXED32: 4}[key & 7]
    return found


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & _MORE:
            return value, at
