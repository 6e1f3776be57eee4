"""Frames around the requests, and what is done to frames (RFC 9113, 6)."""

from __future__ import annotations

from collections.abc import Callable

from paymesh.attack import wire
from paymesh.attack.fuzz import fields
from paymesh.attack.fuzz.draft import Draft

_LAST = (1 << 31) - 1
_CODES = (0, 1, 2, 3, 5, 7, 8, 11, 13, 1 << 31)
_PRIORITY_UPDATE, _ALTSVC, _ORIGIN, _METADATA = 16, 10, 12, 77
_UNKNOWN_TYPES = (_PRIORITY_UPDATE, _ALTSVC, _ORIGIN, _METADATA, 14, 11, 99, 240, 255)
# RFC 9113 6.5.2, RFC 8441, RFC 9218, and some that nobody has given out.
_VALUES: dict[int, tuple[int, ...]] = {
    1: (0, 1, 4096, 65536, (1 << 32) - 1),
    2: (0, 1, 2),
    3: (0, 1, 100, (1 << 32) - 1),
    4: (0, 1, 65535, _LAST, _LAST + 1),
    5: (16383, 16384, (1 << 24) - 1, 1 << 24, 0),
    6: (0, 1, 65536),
    8: (0, 1, 2),
    9: (0, 1),
    0: (7,),
    0x4D44: (1,),
    65535: (0,),
}


_HARMLESS: dict[int, tuple[int, ...]] = {
    1: (0, 1, 4096, 65536),
    3: (1, 100, (1 << 32) - 1),
    4: (0, 1, 65535, _LAST),
    5: (16384, (1 << 24) - 1),
    6: (65536,),
    0x4D44: (1,),
}


def opening(draft: Draft) -> None:
    """Preface and SETTINGS, nearly always right ones."""
    rng = draft.rng
    if draft.chance(85) or draft.careful:
        draft.add(wire.PREFACE, wire.settings({2: 0} if draft.chance(50) else {}))
    else:
        draft.add(
            rng.choice(
                (
                    wire.PREFACE,
                    wire.PREFACE[:-1],
                    wire.PREFACE * 2 + wire.settings({}),
                    wire.PREFACE.lower() + wire.settings({}),
                    wire.settings({}),
                    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\n\r\n" + wire.PREFACE,
                    b"",
                    rng.randbytes(24),
                )
            )
        )
    if draft.chance(20):
        settings(draft)


def settings(draft: Draft) -> None:
    """SETTINGS with values at and past their limits."""
    rng = draft.rng
    values = _HARMLESS if draft.careful else _VALUES
    names = rng.sample(sorted(values), rng.choice((1, 1, 2, 4)))
    payload = b"".join(
        name.to_bytes(2, "big") + rng.choice(values[name]).to_bytes(4, "big") for name in names
    )
    if draft.careful:
        draft.add(wire.frame(wire.Frame.SETTINGS, payload=payload))
        return
    if draft.chance(10):
        payload = payload * 40
    if draft.chance(5):
        payload = payload[:-1]
    flags = wire.Flag.ACK if draft.chance(10) else wire.Flag.NONE
    stream = draft.odd_one() if draft.chance(5) else 0
    draft.add(wire.frame(wire.Frame.SETTINGS, flags, stream, payload))


def acknowledge(draft: Draft) -> None:
    """That settings were seen, once or without any."""
    count = draft.rng.choice((1, 1, 20))
    draft.add(*[wire.frame(wire.Frame.SETTINGS, wire.Flag.ACK)] * count)


def ping(draft: Draft) -> None:
    """PING, in any number and length."""
    strange = draft.chance(25) and not draft.careful
    length = draft.rng.choice((0, 7, 9)) if strange else 8
    flags = draft.rng.choice((wire.Flag.NONE, wire.Flag.NONE, wire.Flag.ACK))
    stream = draft.odd_one() if draft.chance(8) and not draft.careful else 0
    one = wire.frame(wire.Frame.PING, flags, stream, b"x" * length)
    draft.add(*[one] * draft.rng.choice((1, 1, 2, 60)))


def window(draft: Draft) -> None:
    """WINDOW_UPDATE, by nothing, by too much, on streams that may not have one."""
    if draft.careful:
        draft.add(wire.frame(wire.Frame.WINDOW_UPDATE, payload=(1).to_bytes(4, "big")))
        return
    amount = draft.rng.choice((0, 1, 65535, _LAST, _LAST, 1 << 31, (1 << 32) - 1))
    payload = amount.to_bytes(4, "big")[: 3 if draft.chance(4) else 4]
    stream = draft.rng.choice((0, draft.odd_one()))
    one = wire.frame(wire.Frame.WINDOW_UPDATE, 0, stream, payload)
    draft.add(*[one] * draft.rng.choice((1, 1, 2, 30)))


def reset(draft: Draft) -> None:
    """RST_STREAM of any stream."""
    if draft.careful and not draft.streams:
        return
    code = draft.rng.choice(_CODES).to_bytes(4, "big")
    payload = code[: 3 if draft.chance(5) and not draft.careful else 4]
    draft.add(wire.frame(wire.Frame.RST_STREAM, 0, draft.odd_one(), payload))


def rapid_resets(draft: Draft) -> None:
    """Requests that are taken back at once (CVE-2023-44487), a bounded number of them."""
    call = draft.rng.choice(draft.menu.forbidden)
    block = wire.block(fields.request(draft, call))
    for _ in range(draft.rng.choice((2, 10, 25))):
        stream = draft.fresh()
        draft.add(
            wire.frame(wire.Frame.HEADERS, wire.Flag.END_HEADERS, stream, block)
            + wire.frame(wire.Frame.RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
        )


def priority(draft: Draft) -> None:
    """PRIORITY, of streams that depend on themselves too."""
    stream = draft.odd_one()
    on = draft.rng.choice((0, 0 if draft.careful else stream, _LAST, 1 << 31))
    payload = on.to_bytes(4, "big") + bytes([draft.rng.randrange(256)])
    payload = payload[: 4 if draft.chance(8) and not draft.careful else 5]
    draft.add(wire.frame(wire.Frame.PRIORITY, 0, stream, payload))


def goaway(draft: Draft) -> None:
    """GOAWAY, after which there is more all the same."""
    last = draft.rng.choice((0, 1, _LAST)).to_bytes(4, "big")
    code = draft.rng.choice(_CODES).to_bytes(4, "big")
    payload = (last + code + b"x" * draft.rng.choice((0, 8)))[: 7 if draft.chance(5) else None]
    draft.add(wire.frame(wire.Frame.GOAWAY, 0, 0, payload))


def push(draft: Draft) -> None:
    """PUSH_PROMISE, which no client may send."""
    block = wire.block(fields.request(draft, draft.rng.choice(draft.menu.forbidden)))
    promised = draft.rng.choice((2, 4, 3)).to_bytes(4, "big")
    draft.add(
        wire.frame(
            wire.Frame.PUSH_PROMISE, wire.Flag.END_HEADERS, draft.odd_one(), promised + block
        )
    )


def unknown(draft: Draft) -> None:
    """A frame of an extension, or of a type that nobody knows."""
    rng = draft.rng
    payload = rng.randbytes(rng.choice((0, 4, 9, 200)))
    stream = rng.choice((0, draft.odd_one()))
    draft.add(wire.frame(rng.choice(_UNKNOWN_TYPES), rng.randrange(256), stream, payload))


def stray(draft: Draft) -> None:
    """DATA or CONTINUATION where there is nothing to go on with."""
    kind = draft.rng.choice((wire.Frame.DATA, wire.Frame.CONTINUATION))
    flags = draft.rng.choice((0, 1, 4, 5))
    draft.add(wire.frame(kind, flags, draft.odd_one(), draft.rng.randbytes(6)))


def dressed(draft: Draft, stream: int, piece: bytes) -> tuple[bytes, wire.Flag]:
    """The payload of HEADERS with padding and priority, now and then, and the flags for them."""
    flags = wire.Flag.NONE
    if draft.chance(8):
        on = draft.rng.choice((0, 0 if draft.careful else stream, _LAST))
        piece = (on & 0xFFFFFFFF).to_bytes(4, "big") + b"\x10" + piece
        flags |= wire.Flag.PRIORITY
    if draft.chance(10):
        piece, added = padded(draft, piece)
        flags |= added
    return piece, flags


def padded(draft: Draft, piece: bytes) -> tuple[bytes, wire.Flag]:
    """A payload with padding, whose length seldom lies."""
    length = draft.rng.choice((0, 1, 100, 255))
    told = length
    if draft.chance(20) and not draft.careful:
        told = draft.rng.choice((255, min(len(piece) + length + 1, 255)))
    return bytes([told]) + piece + b"\0" * length, wire.Flag.PADDED


def spoil(draft: Draft) -> None:
    """Some frames are changed as a whole: other bits, length, order or number."""
    for _ in range(draft.rng.choice((1, 1, 2))):
        draft.rng.choice(_SPOILERS)(draft, draft.rng.randrange(len(draft.frames)))


def _flip(draft: Draft, at: int) -> None:
    changed = bytearray(draft.frames[at])
    for _ in range(draft.rng.choice((1, 1, 3)) if changed else 0):
        changed[draft.rng.randrange(len(changed))] ^= 1 << draft.rng.randrange(8)
    draft.frames[at] = bytes(changed)


def _lie(draft: Draft, at: int) -> None:
    data = draft.frames[at]
    length = draft.rng.choice((0, 1, len(data), 16385, (1 << 24) - 1))
    draft.frames[at] = length.to_bytes(3, "big") + data[3:]


def _repeat(draft: Draft, at: int) -> None:
    draft.frames.insert(at, draft.frames[at])


def _drop(draft: Draft, at: int) -> None:
    if len(draft.frames) > 1:
        draft.frames.pop(at)


def _cut(draft: Draft, at: int) -> None:
    data = draft.frames[at]
    draft.frames[at] = data[: draft.rng.randrange(len(data) + 1)]


def _swap(draft: Draft, at: int) -> None:
    other = draft.rng.randrange(len(draft.frames))
    frames = draft.frames
    frames[at], frames[other] = frames[other], frames[at]


def _move(draft: Draft, at: int) -> None:
    """To another stream."""
    data = draft.frames[at]
    stream = draft.rng.choice((b"\x80\0\0\1", b"\0\0\0\0", b"\0\0\0\2", b"\0\0\0\1"))
    draft.frames[at] = data[:5] + stream + data[9:]


_SPOILERS = (_flip, _flip, _lie, _repeat, _drop, _cut, _swap, _move)

_OTHERS: tuple[Callable[[Draft], None], ...] = (
    *(settings, acknowledge, ping, window, window, reset, reset),
    *(rapid_resets, priority, goaway, push, unknown, unknown, stray, stray),
)
_CAREFUL = (settings, ping, window, reset, rapid_resets, priority, unknown)


def another(draft: Draft) -> None:
    """A frame, or some, beside the requests."""
    draft.rng.choice(_CAREFUL if draft.careful else _OTHERS)(draft)
