"""Header blocks, byte for byte (RFC 7541): any bytes in names and values, nothing indexed.

A library's encoder lower-cases, strips and refuses. This one writes "literal header field
never indexed" (6.2.3) by hand, so that one connection's blocks do not depend on each other
and what is sent is what was meant.
"""

from __future__ import annotations

from collections.abc import Iterable

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

Field = tuple[bytes, bytes]

_NEVER_INDEXED = 0x10
_HUFFMAN = 0x80
_CONTINUED = 0x80
_huffman = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def integer(value: int, prefix_bits: int, first: int = 0) -> bytes:
    """An integer (5.1) whose first byte also carries the bits of `first`."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([first | value])
    encoded = bytearray([first | limit])
    value -= limit
    while value >= _CONTINUED:
        encoded.append(value % _CONTINUED + _CONTINUED)
        value //= _CONTINUED
    encoded.append(value)
    return bytes(encoded)


def string(text: bytes, *, huffman: bool = False) -> bytes:
    """A string (5.2), as it is or in Huffman's code."""
    if not huffman:
        return integer(len(text), 7) + text
    coded: bytes = _huffman.encode(text)
    return integer(len(coded), 7, _HUFFMAN) + coded


def literal(name: bytes, value: bytes, *, huffman: bool = False) -> bytes:
    """One field."""
    return bytes([_NEVER_INDEXED]) + string(name, huffman=huffman) + string(value, huffman=huffman)


def block(fields: Iterable[Field], *, huffman: bool = False) -> bytes:
    """Fields in the order given, as often as given."""
    return b"".join(literal(name, value, huffman=huffman) for name, value in fields)
