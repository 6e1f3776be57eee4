"""The little of protobuf's wire format that is needed for messages without a descriptor here.

SPIFFE's Workload API, SPIRE's server API and Envoy's ext_authz: a few fields of each
(protobuf.dev, "Encoding").
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MORE = 0x80


def text(number: int, value: str | bytes) -> bytes:
    """A string, bytes or message field."""
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    """An integer field that is not negative."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of the fields that are strings, bytes or messages; others are left
    out.

    Raises:
        ValueError: it is no message.
    """
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            _, place = _read_varint(message, place)
        elif kind in {_FIXED64, _FIXED32}:
            place += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            length, place = _read_varint(message, place)
            if place + length > len(message):
                raise ValueError("a field ends after its message")
            yield tag >> 3, message[place : place + length]
            place += length
        else:
            raise ValueError(f"wire type {kind}")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    return bytes([*encoded, value])


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message):
            raise ValueError("a number without an end")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & _MORE:
            return value, place
