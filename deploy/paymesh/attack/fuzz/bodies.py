"""gRPC messages and protobuf, spoilt."""

from __future__ import annotations

from collections.abc import Callable

from paymesh.attack import wire
from paymesh.attack.fuzz.draft import Draft

_LARGEST = 65536
_FLAGS = (1, 2, 128, 255)


def spoilt(draft: Draft, body: bytes, allowed: bytes) -> bytes:
    """What follows the header in place of a right message; `allowed` is a request that this
    caller may make, for what is read twice in different ways.
    """
    return draft.rng.choice(_WAYS)(draft, body, allowed)


def _flag(draft: Draft, body: bytes, _: bytes) -> bytes:
    return wire.message(body, flag=draft.rng.choice(_FLAGS))


def _length(draft: Draft, body: bytes, _: bytes) -> bytes:
    lie = draft.rng.choice((0, 1, len(body) - 1, len(body) + 1, 1 << 16, 1 << 31, (1 << 32) - 1))
    return wire.message(body, length=max(lie, 0))


def _several(draft: Draft, body: bytes, allowed: bytes) -> bytes:
    first, second = draft.rng.choice(
        ((body, body), (allowed, body), (body, allowed), (b"", body), (body, b""))
    )
    return wire.message(first) + wire.message(second)


def _cut(draft: Draft, body: bytes, _: bytes) -> bytes:
    whole = wire.message(body)
    return whole[: draft.rng.randrange(len(whole) + 1)]


def _garbage(draft: Draft, body: bytes, _: bytes) -> bytes:
    extra = draft.rng.randbytes(draft.rng.choice((1, 4, 5, 40)))
    return draft.rng.choice((wire.message(body) + extra, extra + wire.message(body), extra))


def _protobuf(draft: Draft, body: bytes, allowed: bytes) -> bytes:
    rng = draft.rng
    number = rng.choice((1, 2, 3, 15, 16, 18999, 19000, (1 << 29) - 1, 0))
    changed = rng.choice(
        (
            body + body,
            allowed + body,
            body + allowed,
            body + _key(number, 0) + b"\xff" * rng.choice((1, 9, 10, 11)) + b"\x01",
            body + _key(number, 2) + varint(rng.choice((1, 1 << 20, 1 << 31, 1 << 63))),
            body + _key(number, 3) * rng.choice((1, 50, 200)),
            body + _key(number, 3) + _key(number, 4),
            body + _key(number, 4),
            body + _key(number, rng.choice((6, 7))),
            body + _key(number, 5) + b"\x00" * rng.randrange(5),
            _NESTED[rng.choice(sorted(_NESTED))],
            body + _key(1, 2) + b"\x04\xff\xfe\xfd\xfc",
            b"\x80" * rng.choice((5, 11)) + body,
        )
    )
    return wire.message(changed)


def _flipped(draft: Draft, body: bytes, _: bytes) -> bytes:
    changed = bytearray(body or b"\0")
    for _count in range(draft.rng.choice((1, 1, 2, 8))):
        changed[draft.rng.randrange(len(changed))] = draft.rng.randrange(256)
    return wire.message(bytes(changed))


def _large(draft: Draft, body: bytes, _: bytes) -> bytes:
    """Around the largest message that is taken."""
    wanted = draft.rng.choice((_LARGEST - 1, _LARGEST, _LARGEST + 1, _LARGEST + 5000))
    field = _key(900, 2)
    padding = wanted - len(body) - len(field) - 3
    return wire.message(body + field + varint(padding) + b"x" * padding)


def _empty(_: Draft, __: bytes, ___: bytes) -> bytes:
    return b""


def _key(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def varint(value: int) -> bytes:
    """An integer as protobuf has it."""
    found = bytearray()
    while value > 127:  # noqa: PLR2004 — seven bits in a byte
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _nested(depth: int) -> bytes:
    """Messages in messages, as deep as fits into what is taken."""
    found = b""
    for _ in range(depth):
        found = _key(1, 2) + varint(len(found)) + found
        if len(found) > _LARGEST // 2:
            break
    return found


_NESTED = {depth: _nested(depth) for depth in (10, 99, 101, 1000)}
_WAYS: tuple[Callable[[Draft, bytes, bytes], bytes], ...] = (
    *(_protobuf, _protobuf, _protobuf, _flipped, _several, _several),
    *(_flag, _length, _cut, _garbage, _empty, _large),
)
