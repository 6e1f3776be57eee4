"""Sequences of frames out of a seed: the same seed, number and menus make the same bytes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from paymesh.attack import wire
from paymesh.attack.fuzz import blocks, bodies, fields, frames, rest
from paymesh.attack.fuzz.draft import Draft
from paymesh.attack.fuzz.menu import Call, Menu, Rest
from paymesh.attack.fuzz.sequence import Sequence as Frames

_LARGEST_FRAME = 16384
_NOTHING = Call("/", b"")


def generate(seed: int, number: int, menus: Sequence[Menu]) -> Frames:
    """The sequence of this number.

    Args:
        seed: of the whole run.
        number: from 0.
        menus: the doors that there are, at least one.
    """
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 — to be the same each time
    menu = rng.choices(menus, [one.weight for one in menus])[0]
    draft = Draft(rng, menu)
    frames.opening(draft)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 6, 10))):
        if draft.chance(70):
            _request(draft)
        else:
            frames.another(draft)
    if draft.chance(20) and not draft.careful:
        frames.spoil(draft)
    return Frames(f"{seed}/{number}", menu.door, tuple(draft.frames))


def plain(menu: Menu, call: Call, name: str) -> Frames:
    """A right request and nothing else: what a sequence is before it is spoilt."""
    draft = Draft(random.Random(name), menu)  # noqa: S311 — as above
    draft.add(wire.PREFACE, wire.settings({}))
    block = wire.block(fields.request(draft, call))
    draft.add(wire.frame(wire.Frame.HEADERS, wire.Flag.END_HEADERS, 1, block))
    draft.add(wire.frame(wire.Frame.DATA, wire.Flag.END_STREAM, 1, wire.message(call.body)))
    return Frames(name, menu.door, tuple(draft.frames))


def _request(draft: Draft) -> None:
    """A request, spoilt in its fields, its block, its message, its frames, in several or none."""
    rng, menu = draft.rng, draft.menu
    chosen = menu.allowed if menu.allowed and draft.chance(25) else menu.forbidden
    call = rng.choice(chosen)
    if menu.speaks_json and call.rest and draft.chance(30):
        _rest_request(draft, call.rest)
        return
    other = rng.choice(menu.allowed) if menu.allowed else _NOTHING
    asked = fields.request(draft, call)
    if draft.chance(60):
        asked = fields.spoil(draft, asked)
    block = blocks.encoded(draft, asked)
    if draft.chance(15) and not draft.careful:
        block = blocks.spoilt(draft, block)
    body = wire.message(call.body)
    if draft.chance(35):
        body = bodies.spoilt(draft, call.body, other.body)
    strange = draft.chance(8) and not draft.careful
    stream = draft.odd_one() if strange else draft.fresh()
    _head(draft, stream, block, ends=draft.chance(4))
    if draft.chance(10):
        frames.another(draft)
    _data(draft, stream, body)
    if draft.chance(5 if draft.careful else 15):
        _trailers(draft, stream, call)


def _rest_request(draft: Draft, call: Rest) -> None:
    """A call as HTTP and JSON."""
    asked = rest.fields(draft, call, fields.sender(draft))
    if draft.chance(25):
        asked = fields.spoil(draft, asked)
    stream = draft.fresh()
    _head(draft, stream, blocks.encoded(draft, asked), ends=not call.body and draft.chance(80))
    _data(draft, stream, rest.body(draft, call.body))


def _head(draft: Draft, stream: int, block: bytes, *, ends: bool) -> None:
    """HEADERS and as many CONTINUATIONs as it likes."""
    flags = wire.Flag.END_STREAM if ends else wire.Flag.NONE
    first, *more = _pieces(draft, block, percent=20)
    last = wire.Flag.END_HEADERS
    payload, added = frames.dressed(draft, stream, first)
    final = wire.Flag.NONE if more else last
    draft.add(wire.frame(wire.Frame.HEADERS, flags | added | final, stream, payload))
    for number, piece in enumerate(more, 1):
        strange = draft.chance(6) and not draft.careful
        if strange and draft.chance(50):
            frames.another(draft)
        on = draft.odd_one() if strange else stream
        final = last if number == len(more) and not strange else wire.Flag.NONE
        draft.add(wire.frame(wire.Frame.CONTINUATION, final, on, piece))


def _data(draft: Draft, stream: int, body: bytes) -> None:
    """DATA, in pieces, padded, with empty ones; usually the last one ends the stream."""
    pieces = _pieces(draft, body, percent=30)
    if draft.chance(5) and not draft.careful:
        pieces[1:1] = [b""] * draft.rng.choice((1, 3, 30))
    for number, piece in enumerate(pieces, 1):
        flags, payload = wire.Flag.NONE, piece
        if draft.chance(10):
            payload, flags = frames.padded(draft, piece)
        if number == len(pieces) and not draft.chance(6):
            flags |= wire.Flag.END_STREAM
        draft.add(wire.frame(wire.Frame.DATA, flags, stream, payload))


def _trailers(draft: Draft, stream: int, call: Call) -> None:
    """Fields behind the message, or a second request on a stream that is over."""
    rng = draft.rng
    found = rng.choice(
        (
            [(b"grpc-status", b"0")],
            [(b"x-trailer", b"1")],
            [(b":path", call.rpc.encode())],
            [(b"authorization", b"Bearer x"), (b"x-paymesh-caller", b"gateway")],
            [(b"te", b"trailers"), (b"content-length", b"3")],
            fields.request(draft, call),
            [],
        )
    )
    flags = rng.choice((wire.Flag.END_STREAM, wire.Flag.END_STREAM, wire.Flag.NONE))
    block = wire.block(found)
    draft.add(wire.frame(wire.Frame.HEADERS, flags | wire.Flag.END_HEADERS, stream, block))


def _pieces(draft: Draft, data: bytes, *, percent: int) -> list[bytes]:
    """The bytes in frames that are no larger than is taken, or cut smaller at any place."""
    cuts = set(range(_LARGEST_FRAME, len(data), _LARGEST_FRAME))
    if len(data) > 1 and draft.chance(percent):
        for _ in range(draft.rng.choice((1, 1, 2, 5, 20))):
            cuts.add(draft.rng.randrange(1, len(data)))
    edges = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]
