"""Class 15: what a message says twice, in pieces, or in a way that only some can read.

What policy reads must be what the service reads. CVE-2025-4565 (protobuf for Python, nested
groups), CVE-2022-1941, CVE-2021-22569 (protobuf's parsers), CVE-2024-24786 (Go's protojson).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from paymesh.attack import wire
from paymesh.attack.corpus import protobuf as pb
from paymesh.attack.corpus.calls import Call, Maker
from paymesh.attack.corpus.ground import OVER, WITHIN, Ground, money
from paymesh.attack.corpus.model import Attempt, Frames, Sent, uuid_of

TITLE = "repeated, split and ambiguous messages"

_LIMIT = 5_000_000
# Above the limit of euros and below that of dinars.
_BETWEEN = 10_000_000
Body = Callable[[str], bytes]


def add(maker: Maker) -> None:
    """Amounts that are one thing to one reader and, perhaps, another to the next."""
    calls, ground = maker.calls, maker.ground
    for name, amount in _AMOUNTS.items():
        _ambiguous(maker, name, calls.over, partial(_transfer, ground, amount))
    for name, body in _messages(ground).items():
        _ambiguous(maker, name, calls.over, body)
    for name, body in _payments(ground).items():
        _ambiguous(maker, name, calls.too_much, body)
    for call, may in ((calls.over, calls.may_post), (calls.too_much, calls.may_pay)):
        for name, frames in _framed(call, may).items():
            maker.add(
                f"{name}@{call.name}", "messages and frames", call.way, frames, permits=is_within
            )
    maker.control(calls.may_post, calls.may_pay)
    for call in (calls.may_post, calls.may_pay):
        maker.add(
            f"control@{call.name}-split",
            "a frame for each byte",
            call.way,
            partial(_bytewise, call),
            entitled=True,
        )


def is_within(reply: wire.Reply) -> bool:
    """Whether all amounts of a PostTransferResponse or CreatePaymentResponse are within limits."""
    amounts = []
    for inner in pb.fields(reply.body[5:]).get(1, []):
        found = pb.fields(inner) if isinstance(inner, bytes) else {}
        legs = [pb.fields(leg) for leg in found.get(2, []) if isinstance(leg, bytes)]
        amounts += [amount for leg in legs for amount in leg.get(2, [])]
        amounts += found.get(3, [])
    units = [pb.fields(amount).get(2, [0])[-1] for amount in amounts if isinstance(amount, bytes)]
    signed = [n - (1 << 64) if n >> 63 else n for n in units if isinstance(n, int)]
    return bool(signed) and all(abs(n) <= _LIMIT for n in signed)


def _ambiguous(maker: Maker, name: str, call: Call, body: Body) -> None:
    def attempt(trace: str) -> Attempt:
        return Sent(wire.Request(call.fields(trace), wire.message(body(trace))))

    maker.add(
        f"{name}@{call.name}",
        "an ambiguous message",
        call.way,
        attempt,
        permits=is_within,
        rpc=call.path,
    )


# Each makes the Money of a leg from its sign.
Amount = Callable[[int], bytes]


def _raw(wire_type: int, value: bytes, *, first: bool) -> Amount:
    """An amount within the limit and the same field in another wire type, above it."""

    def amount(sign: int) -> bytes:
        odd = pb.tag(2, wire_type) + value
        usual = money(sign * WITHIN)
        return odd + usual if first else usual + odd

    return amount


_FIXED = OVER.to_bytes(8, "little")
_PACKED = pb.varint(5) + pb.varint(OVER, width=5)
_AMOUNTS: Mapping[str, Amount] = {
    "units-within-over": lambda s: money(s * WITHIN) + pb.integer(2, s * OVER),
    "units-over-within": lambda s: money(s * OVER) + pb.integer(2, s * WITHIN),
    "units-thrice": lambda s: money(s * WITHIN) + pb.integer(2, s * OVER) + pb.integer(2, s),
    "currency-euro-last": lambda s: pb.text(1, "KWD") + money(s * _BETWEEN),
    "currency-dinar-last": lambda s: money(s * _BETWEEN) + pb.text(1, "KWD"),
    "fixed64-last": _raw(pb.FIXED64, _FIXED, first=False),
    "fixed64-first": _raw(pb.FIXED64, _FIXED, first=True),
    "fixed32-last": _raw(pb.FIXED32, _FIXED[:4], first=False),
    "packed-last": _raw(pb.BYTES, _PACKED, first=False),
    "packed-first": _raw(pb.BYTES, _PACKED, first=True),
    "text-last": _raw(pb.BYTES, b"\x0a4000000000", first=False),
    "group-last": lambda s: money(s * WITHIN) + pb.group(2, pb.varint(OVER)),
    "wire-6": _raw(6, b"\x07", first=False),
    "wire-7": _raw(7, b"\x07", first=False),
    "long-tag": lambda s: money(s * WITHIN) + pb.tag(2, 0, width=5) + pb.varint(s * OVER),
    "longer-tag": lambda s: money(s * WITHIN) + pb.tag(2, 0, width=6) + pb.varint(s * OVER),
    "longest-tag": lambda s: money(s * WITHIN) + pb.tag(2, 0, width=10) + pb.varint(s * OVER),
    "number-wraps-29": lambda s: money(s * WITHIN) + pb.integer(2 + (1 << 29), s * OVER),
    "number-wraps-32": lambda s: money(s * WITHIN) + pb.varint(16 + (1 << 32))
    + pb.varint(s * OVER),
    "field-0": lambda s: money(s * WITHIN) + pb.integer(0, OVER),
    "long-varint": lambda s: pb.text(1, "EUR") + pb.tag(2, 0) + pb.varint(s * OVER, width=10),
    "bits-above-64": lambda s: pb.text(1, "EUR") + pb.tag(2, 0) + b"\x87" + b"\x80" * 8
    + (b"\x02" if s > 0 else b"\x7e"),
    "eleven-bytes": lambda s: pb.text(1, "EUR") + pb.tag(2, 0) + b"\x80" * 10 + pb.varint(OVER * s),
    "smallest": lambda s: money(s * (1 << 63) if s < 0 else (1 << 63) - 1),
    "currency-lower": lambda s: money(s * OVER, "eur"),
    "currency-space": lambda s: money(s * OVER, "EUR "),
    "currency-nul": lambda s: money(s * OVER, "EUR\0"),
    "currency-none": lambda s: pb.integer(2, s * OVER),
    "currency-not-utf-8": lambda s: pb.text(1, b"EU\xff") + pb.integer(2, s * OVER),
    "unknown-field": lambda s: money(s * WITHIN) + pb.integer(99, OVER),
    "unknown-message": lambda s: money(s * WITHIN) + pb.text(98, money(OVER)),
    "end-of-no-group": lambda s: money(s * WITHIN) + pb.tag(2, pb.END_GROUP),
    "zero": lambda s: money(0 * s),
}  # fmt: skip


def _transfer(ground: Ground, amount: Amount, trace: str) -> bytes:
    merchant, clearing = ground.material.merchant, ground.material.clearing
    legs = ground.leg(merchant, amount(1)) + ground.leg(clearing, amount(-1))
    return pb.text(1, uuid_of(trace)) + legs


def _messages(ground: Ground) -> dict[str, Body]:
    """Whole PostTransferRequests."""
    within, over = ground.transfer, partial(ground.transfer, minor_units=OVER)
    merchant, clearing = ground.material.merchant, ground.material.clearing

    def twice(first: int, last: int) -> Body:
        def legs(trace: str) -> bytes:
            return pb.text(1, uuid_of(trace)) + b"".join(
                pb.text(
                    2,
                    pb.text(1, account)
                    + pb.text(2, money(s * first))
                    + pb.text(2, money(s * last)),
                )
                for account, s in ((merchant, 1), (clearing, -1))
            )

        return legs

    return {
        "amount-within-over": twice(WITHIN, OVER),
        "amount-over-within": twice(OVER, WITHIN),
        "more-legs": lambda t: within(t) + over(t),
        "more-legs-first": lambda t: over(t) + within(t),
        "legs-in-group": lambda t: within(t) + pb.group(2, over(t)),
        "legs-in-unknown": lambda t: within(t) + pb.text(15, over(t)),
        "empty-leg": lambda t: within(t) + pb.text(2, b""),
        "leg-without-amount": lambda t: within(t) + pb.text(2, pb.text(1, merchant)),
        "request-id-twice": lambda t: within(t) + pb.text(1, "x") + over(t),
        "long-leg-tag": lambda t: within(t) + pb.tag(2, 2, width=5) + pb.varint(0),
        "length-too-long": lambda t: within(t) + pb.tag(2, 2) + pb.varint(1 << 20),
        "length-negative": lambda t: within(t) + pb.tag(2, 2) + pb.varint(-1),
        "length-2g": lambda t: within(t) + pb.tag(2, 2) + pb.varint(1 << 31),
        "open-group": lambda t: within(t) + pb.tag(15, pb.GROUP) + over(t),
        "deep-groups": lambda t: within(t) + pb.tag(15, 3) * 200 + pb.tag(15, 4) * 200,
        "reference-not-utf-8": lambda t: over(t) + pb.text(3, b"\xff\xfe"),
        "reference-nul": lambda t: over(t) + pb.text(3, b"a\0b"),
        "cut-varint": lambda t: within(t) + b"\x80",
    }


def _payments(ground: Ground) -> dict[str, Body]:
    """CreatePaymentRequests: the amount again, and both of a oneof."""
    within, over = ground.payment, partial(ground.payment, minor_units=OVER)
    link = pb.text(4, "00000000-0000-4000-8000-000000000000")
    return {
        "amount-within-over": lambda t: within(t) + pb.text(2, money(OVER)),
        "amount-over-within": lambda t: over(t) + pb.text(2, money(WITHIN)),
        "units-over": lambda t: within(t) + pb.text(2, pb.integer(2, OVER)),
        "units-within": lambda t: over(t) + pb.text(2, pb.integer(2, WITHIN)),
        "currency-over": lambda t: ground.payment(t, 1_400_000) + pb.text(2, pb.text(1, "JPY")),
        "amount-empty": lambda t: over(t) + pb.text(2, b""),
        "oneof-link-last": lambda t: within(t) + link,
        "oneof-link-first": lambda t: link + over(t),
        "whole-twice": lambda t: within(t) + over(t),
        "whole-twice-over-first": lambda t: over(t) + within(t),
    }


def _framed(call: Call, may: Call) -> dict[str, Callable[[str], Attempt]]:
    """Two messages in one body, and DATA frames of odd kinds; `may` is the same within limits."""

    def over(trace: str) -> bytes:
        return wire.message(call.body(trace))

    def within(trace: str) -> bytes:
        return wire.message(may.body(trace))

    empty = wire.message(b"")
    bodies: dict[str, Body] = {
        "within-over": lambda t: within(t) + over(t),
        "over-within": lambda t: over(t) + within(t),
        "within-within": lambda t: within(t) + within(t),
        "empty-over": lambda t: empty + over(t),
        "over-empty": lambda t: over(t) + empty,
        "within-empty": lambda t: within(t) + empty,
        "within-one-byte": lambda t: within(t) + b"\0",
        "within-prefix": lambda t: within(t) + over(t)[:5],
        "within-cut": lambda t: within(t) + over(t)[:-1],
        "within-newline": lambda t: within(t) + b"\r\n",
    }

    def sent(body: Body, trace: str) -> Attempt:
        return Sent(wire.Request(call.fields(trace), body(trace)))

    def after_end(trace: str) -> Attempt:
        whole = wire.Request(call.fields(trace), within(trace)).frames(1)
        return Frames(whole + wire.frame(wire.Frame.DATA, wire.Flag.END_STREAM, 1, over(trace)))

    def padded(trace: str) -> Attempt:
        head = wire.Request(call.fields(trace), None, ends=False).frames(1)
        padding = over(trace)[:200].ljust(200, b"\0")
        flags = wire.Flag.PADDED | wire.Flag.END_STREAM
        return Frames(head + wire.frame(0, flags, 1, bytes([200]) + within(trace) + padding))

    def too_padded(trace: str) -> Attempt:
        head = wire.Request(call.fields(trace), None, ends=False).frames(1)
        return Frames(head + wire.frame(0, wire.Flag.PADDED, 1, b"\xff" + within(trace)[:100]))

    def two_heads(trace: str) -> Attempt:
        head = wire.Request(call.fields(trace), within(trace), ends=False).frames(1)
        return Frames(head + wire.Request(call.fields(trace), over(trace)).frames(1))

    return {
        **{name: partial(sent, body) for name, body in bodies.items()},
        "split-over": partial(_bytewise, call),
        "after-end": after_end,
        "padded": padded,
        "too-padded": too_padded,
        "two-heads": two_heads,
    }


def _bytewise(call: Call, trace: str) -> Attempt:
    head = wire.Request(call.fields(trace), None, ends=False).frames(1)
    body = wire.message(call.body(trace))
    pieces = [wire.frame(0, 0, 1, body[at : at + 1]) for at in range(len(body))]
    return Frames(head + b"".join(pieces) + wire.frame(0, wire.Flag.END_STREAM, 1))
