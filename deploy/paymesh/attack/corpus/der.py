"""DER by hand (X.690), so that a certificate can hold what a library would not write."""

from __future__ import annotations

import datetime as dt

SEQUENCE, SET, INTEGER, BIT_STRING, OCTETS, OID, BOOLEAN = 0x30, 0x31, 2, 3, 4, 6, 1
UTF8, PRINTABLE, IA5, BMP = 0x0C, 0x13, 0x16, 0x1E
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_LONG = 0x80
_FIRST_GENERALIZED_YEAR = 2050


def tlv(tag: int, *contents: bytes) -> bytes:
    """One element."""
    content = b"".join(contents)
    size = len(content)
    if size < _LONG:
        return bytes([tag, size]) + content
    encoded = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG | len(encoded)]) + encoded + content


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    encoded = bytearray([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | _LONG)
        encoded += bytes(reversed(groups))
    return tlv(OID, bytes(encoded))


def bits(data: bytes, unused: int = 0) -> bytes:
    """A BIT STRING."""
    return tlv(BIT_STRING, bytes([unused]) + data)


def boolean(*, value: bool) -> bytes:
    """A BOOLEAN."""
    return tlv(BOOLEAN, b"\xff" if value else b"\0")


def time(moment: dt.datetime) -> bytes:
    """UTCTime, or GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5)."""
    text = moment.strftime("%Y%m%d%H%M%SZ")
    if moment.year >= _FIRST_GENERALIZED_YEAR:
        return tlv(_GENERALIZED_TIME, text.encode())
    return tlv(_UTC_TIME, text[2:].encode())


def name(*parts: tuple[str, str]) -> bytes:
    """A Name of (attribute's OID, text) pairs."""
    return tlv(
        SEQUENCE,
        *(
            tlv(SET, tlv(SEQUENCE, oid(kind), tlv(UTF8, text.encode("utf-8"))))
            for kind, text in parts
        ),
    )


def read(data: bytes, at: int = 0) -> tuple[int, bytes, int]:
    """Tag, content and end of the element at `at`."""
    tag, size, start = data[at], data[at + 1], at + 2
    if size & _LONG:
        count = size & 0x7F
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    return tag, data[start : start + size], start + size


def signed_part(certificate: bytes) -> bytes:
    """The TBSCertificate of a certificate: all but its signature."""
    _, content, _ = read(certificate)
    return content[: read(content)[2]]
