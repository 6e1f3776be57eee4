"""Header blocks (RFC 7541), right ones and others."""

from __future__ import annotations

from paymesh.attack import wire
from paymesh.attack.fuzz.draft import Draft
from paymesh.attack.wire import Field

# Names of the static table (appendix A) that requests have, with an index of each.
_STATIC = {
    b":authority": 1,
    b":method": 3,
    b":path": 4,
    b":scheme": 7,
    b"authorization": 23,
    b"content-length": 28,
    b"content-type": 31,
    b"host": 38,
    b"te": 58,  # no: user-agent's, so that one name in some is another's
}
_NEVER, _WITHOUT, _INCREMENTAL, _UPDATE, _INDEXED = 0x10, 0x00, 0x40, 0x20, 0x80
_LARGE = 2000
_PREFIX = {_NEVER: 4, _WITHOUT: 4, _INCREMENTAL: 6}


def encoded(draft: Draft, fields: list[Field]) -> bytes:
    """A block that says just this, in one of many ways."""
    # The code's own encoder takes seconds for what is large.
    small = sum(len(value) for _, value in fields) < _LARGE
    if draft.chance(40) or not small:
        return wire.block(fields, huffman=small and draft.chance(30))
    if draft.indexed:
        if draft.chance(10):
            draft.encoder.header_table_size = draft.rng.choice((0, 31, 512, 4096))
        coded: bytes = draft.encoder.encode(fields, huffman=draft.chance(50))
        return coded
    return b"".join(_field(draft, name, value) for name, value in fields)


def _field(draft: Draft, name: bytes, value: bytes) -> bytes:
    first = draft.rng.choice((_NEVER, _WITHOUT, _INCREMENTAL))
    huffman = draft.chance(30)
    index = _STATIC.get(name)
    if index is None or name == b"te" or draft.chance(50):
        return bytes([first]) + wire.string(name, huffman=huffman) + wire.string(value)
    return wire.integer(index, _PREFIX[first], first) + wire.string(value, huffman=huffman)


def spoilt(draft: Draft, block: bytes) -> bytes:
    """The block with something in it that need not, or must not, be there."""
    rng = draft.rng
    cut = rng.randrange(len(block) + 1)
    odd = rng.choice(
        (
            wire.integer(rng.choice((0, 1, 4096, 4097, 1 << 20, 1 << 32)), 5, _UPDATE),
            wire.integer(rng.choice((0, 1, 2, 61, 62, 63, 200, 1 << 31)), 7, _INDEXED),
            wire.integer(1 << 70, 7, _INDEXED),
            bytes([_INDEXED | 127]) + b"\x80" * rng.choice((4, 12, 200)) + b"\x00",
            bytes([_NEVER]) + wire.integer(1 << 20, 7) + b"x",
            bytes([_NEVER]) + b"\x84" + b"\xff\xff\xff\xff" + wire.string(b"x"),
            bytes([_NEVER]) + b"\x81\x00" + wire.string(b"x"),
            bytes([_WITHOUT]) + wire.string(b"") + wire.string(b""),
            rng.randbytes(rng.choice((1, 3, 20))),
        )
    )
    return rng.choice((odd + block, block[:cut] + odd + block[cut:], block + odd, block[:cut]))
