"""Class 16: too long, too many, too often; and then a forbidden call on the same connection.

CVE-2023-44487 (rapid reset), CVE-2024-27919 and CVE-2024-30255 (Envoy: CONTINUATION without
end), CVE-2019-9512 to 9518 (floods), CVE-2016-6581 (HPACK bomb), CVE-2019-18801 (long headers).
All of it is bounded: the point is what comes of it, not how much a machine endures.
"""

from __future__ import annotations

from functools import partial

from paymesh.attack import wire
from paymesh.attack.corpus import protobuf as pb
from paymesh.attack.corpus.calls import Call, Change, Maker, plus
from paymesh.attack.corpus.model import Attempt, Frames, Sent

TITLE = "oversized bodies and headers, floods"

_K = 1024
F = wire.Frame


def add(maker: Maker) -> None:
    """Bodies above the limit of an amount above the limit, headers, frames."""
    calls = maker.calls
    for size in (64 * _K - 100, 64 * _K, 64 * _K + 1, 64 * _K + 6, 70_000, 100_000, 131_000):
        for call in (calls.over, calls.too_much):
            maker.add(
                f"body-{size}@{call.name}",
                "a message of this size",
                call.way,
                partial(_padded, call, size),
            )
    for name, change in _headers().items():
        maker.shape(name, "a header of this size", change, calls.inside, calls.public)
    for name, before in _floods().items():
        for call in (calls.inside, calls.public):
            maker.add(
                f"{name}@{call.name}", "and then a call", call.way, partial(_then, call, before)
            )
    for name, block in _BLOCKS.items():
        maker.add(
            f"hpack-{name}@inside",
            "a header block that decodes to this, or not at all",
            calls.inside.way,
            partial(_block, calls.inside, block),
        )
    for call in (calls.inside, calls.public):
        maker.add(
            f"header-bytewise@{call.name}",
            "a frame for each byte of the header",
            call.way,
            partial(_bytewise, call),
        )
        maker.add(
            f"header-endless@{call.name}", "a header without end", call.way, partial(_endless, call)
        )
    maker.control(calls.may_inside, calls.may_public)
    maker.add(
        "control@after-pings",
        "pings, and then a call",
        calls.may_inside.way,
        partial(_then, calls.may_inside, wire.frame(F.PING, payload=bytes(8)) * 3),
        entitled=True,
    )


def _padded(call: Call, size: int, trace: str) -> Attempt:
    body = call.body(trace)
    body += pb.text(99, bytes(max(0, size - len(body) - 6)))
    return Sent(wire.Request(call.fields(trace), wire.message(body)), shares=False)


def _headers() -> dict[str, Change]:
    changes: dict[str, Change] = {}
    for size in (8 * _K, 15 * _K, 17 * _K, 60 * _K, 200 * _K):
        changes[f"value-{size}"] = plus((b"x-note", b"a" * size))
        changes[f"name-{size}"] = plus((b"x-" + b"a" * size, b"b"))
    for count in (60, 65, 100, 500, 3000):
        changes[f"count-{count}"] = plus(*((b"x-%d" % number, b"a") for number in range(count)))
        changes[f"cookies-{count}"] = plus(*([(b"cookie", b"a=b")] * count))
    return changes


def _settings(*pairs: tuple[int, int]) -> bytes:
    return wire.settings(dict(pairs))


def _floods() -> dict[str, bytes]:
    """Frames that come before the call, which is on stream 1001."""
    window = (1).to_bytes(4, "big")
    opened = b"".join(_opened(number) for number in range(1, 401, 2))
    reset = b"".join(
        _opened(number) + wire.frame(F.RST_STREAM, 0, number, (8).to_bytes(4, "big"))
        for number in range(1, 401, 2)
    )
    return {
        "reset-200": reset,
        "open-200": opened,
        "pings-2000": wire.frame(F.PING, payload=bytes(8)) * 2000,
        "settings-500": _settings() * 500,
        "settings-acks-500": wire.frame(F.SETTINGS, wire.Flag.ACK) * 500,
        "empty-data-500": _opened(1) + wire.frame(F.DATA, 0, 1) * 500,
        "window-500": wire.frame(F.WINDOW_UPDATE, payload=window) * 500,
        "window-zero": wire.frame(F.WINDOW_UPDATE, payload=bytes(4)),
        "window-overflow": wire.frame(F.WINDOW_UPDATE, payload=b"\x7f\xff\xff\xff") * 2,
        "priorities-1000": wire.frame(F.PRIORITY, 0, 1, bytes(5)) * 1000,
        "priority-of-itself": wire.frame(F.PRIORITY, 0, 1, b"\0\0\0\x01\0"),
        "unknown-1000": wire.frame(0xEE, 0xFF, 0, b"x" * 10) * 1000,
        "goaway": wire.frame(F.GOAWAY, payload=bytes(8)),
        "push": wire.frame(F.PUSH_PROMISE, wire.Flag.END_HEADERS, 1, bytes(4) + _MINIMAL),
        "reset-idle": wire.frame(F.RST_STREAM, 0, 999, bytes(4)),
        "data-idle": wire.frame(F.DATA, 0, 999, b"x"),
        "data-stream-0": wire.frame(F.DATA, 0, 0, b"x"),
        "even-stream": _opened(2),
        "continuation-alone": wire.frame(F.CONTINUATION, wire.Flag.END_HEADERS, 1, _MINIMAL),
        "continuation-cut-in": wire.frame(F.HEADERS, 0, 1, _MINIMAL)
        + wire.frame(F.PING, 0, 0, bytes(8)),
        "continuations-empty-500": wire.frame(F.HEADERS, 0, 1, _MINIMAL)
        + wire.frame(F.CONTINUATION, 0, 1) * 500 + wire.frame(F.CONTINUATION, 4, 1),
        "frame-too-long": wire.frame(F.DATA, 0, 1, bytes(20_000)),
        "frame-length-lies": wire.frame(F.PING, 0, 0, bytes(8), length=4),
        "ping-short": wire.frame(F.PING, payload=bytes(4)),
        "settings-odd": wire.frame(F.SETTINGS, payload=bytes(5)),
        "settings-on-stream": wire.frame(F.SETTINGS, 0, 1),
        "settings-window": _settings((4, 1 << 31)),
        "settings-frame-size": _settings((5, 1)),
        "settings-table-huge": _settings((1, (1 << 32) - 1)),
        "settings-push": _settings((2, 2)),
    }  # fmt: skip


# Enough for a stream to be opened: :method GET, :scheme https, :path / of the static table.
_MINIMAL = b"\x82\x87\x84"


def _opened(stream: int) -> bytes:
    return wire.frame(F.HEADERS, wire.Flag.END_HEADERS, stream, _MINIMAL)


def _then(call: Call, before: bytes, trace: str) -> Attempt:
    return Frames(before + call.request(trace).frames(1001), stream=1001)


# Before a call's own fields, in the same block.
_BLOCKS: dict[str, bytes] = {
    "index-0": b"\x80",
    "index-out": b"\xff\x80\x01",
    "index-huge": b"\xff" + b"\xff" * 9 + b"\x7f",
    "table-size": b"\x3f\xe1\xff\xff\x0f",
    "table-size-again": b"\x20" * 100,
    "table-size-late": wire.literal(b"x-note", b"a") + b"\x20",
    "string-too-long": b"\x10" + wire.integer(10_000_000, 7) + b"a",
    "huffman-end": b"\x10\x84\xff\xff\xff\xff\x01a",
    "huffman-padding": b"\x10\x81\x00\x01a",
    "bomb": b"\x40" + wire.string(b"x-note") + wire.string(b"a" * 4000) + b"\xbe" * 2000,
    "integer-endless": b"\xff" + b"\x80" * 500,
}


def _block(call: Call, block: bytes, trace: str) -> Attempt:
    coded = block + wire.block(call.fields(trace))
    head = wire.frame(F.HEADERS, wire.Flag.END_HEADERS, 1, coded)
    body = wire.message(call.body(trace))
    return Frames(head + wire.frame(F.DATA, wire.Flag.END_STREAM, 1, body))


def _bytewise(call: Call, trace: str) -> Attempt:
    return Frames(
        _continued(call, trace)
        + wire.frame(F.CONTINUATION, wire.Flag.END_HEADERS, 1)
        + wire.frame(F.DATA, wire.Flag.END_STREAM, 1, wire.message(call.body(trace)))
    )


def _endless(call: Call, trace: str) -> Attempt:
    more = wire.frame(F.CONTINUATION, 0, 1, wire.literal(b"x-note", b"a" * 1000))
    return Frames(_continued(call, trace) + more * 60, patience_seconds=0.5)


def _continued(call: Call, trace: str) -> bytes:
    coded = wire.block(call.fields(trace))
    first = wire.frame(F.HEADERS, 0, 1, coded[:1])
    return first + b"".join(
        wire.frame(F.CONTINUATION, 0, 1, coded[at : at + 1]) for at in range(1, len(coded))
    )
