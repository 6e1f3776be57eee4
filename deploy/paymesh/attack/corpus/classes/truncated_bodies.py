"""Class 14: bodies that end too soon, and lengths that are not theirs.

The policy must have read all that the service will. CVE-2026-48743 (Envoy, a length without a
body); Envoy's own `allow_partial_message` lets policy decide on half a message.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paymesh.attack import wire
from paymesh.attack.corpus.calls import Call, Maker
from paymesh.attack.corpus.model import Attempt, Frames, Sent

TITLE = "truncated bodies and wrong length prefixes"

_LENGTHS = {
    "zero": 0, "one": 1, "half": -2, "one-less": -1, "one-more": 1001, "ten-more": 1010,
    "64k": 65536, "2g": 1 << 31, "4g": (1 << 32) - 1,
}  # fmt: skip


def add(maker: Maker) -> None:
    """An amount above the limit in each of them."""
    calls = maker.calls
    for call in (calls.over, calls.too_much):
        changes: dict[str, Callable[[bytes], bytes]] = {
            "no-prefix": lambda body: body[5:],
            "little-endian": lambda body: body[:1] + body[4:0:-1] + body[5:],
            "prefix-only": lambda body: body[:5],
            **{f"prefix-{name}": _prefixed(length) for name, length in _LENGTHS.items()},
            **{f"first-{kept}-bytes": _cut(kept) for kept in range(7)},
            **{f"without-last-{cut}": _cut(-cut) for cut in (1, 2, 8, 20)},
        }
        for name, change in changes.items():
            _add(maker, name, call, partial(_changed, call, change))
        _add(maker, "not-ended", call, partial(_open, call, bytes))
        _add(maker, "cut-not-ended", call, partial(_open, call, _cut(-3)))
        _add(maker, "no-body", call, partial(_without_body, call))
        for name, code in {"cancel": 8, "no-error": 0, "protocol-error": 1}.items():
            _add(maker, f"reset-{name}", call, partial(_reset, call, code))
        for declared in (0, 1, 5, 10_000):
            _add(maker, f"declared-{declared}", call, partial(_declared, call, declared))
    maker.control(calls.may_post, calls.may_pay)


def _add(maker: Maker, name: str, call: Call, attempt: Callable[[str], Attempt]) -> None:
    maker.add(f"{name}@{call.name}", "an amount that nobody may move", call.way, attempt)


def _cut(end: int) -> Callable[[bytes], bytes]:
    return lambda body: body[:end]


def _prefixed(length: int) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        size = len(body) - 5
        said = {-2: size // 2, -1: size - 1, 1001: size + 1, 1010: size + 10}.get(length, length)
        return wire.message(body[5:], length=said)

    return change


def _changed(call: Call, change: Callable[[bytes], bytes], trace: str) -> Attempt:
    body = change(wire.message(call.body(trace)))
    return Sent(wire.Request(call.fields(trace), body))


def _open(call: Call, change: Callable[[bytes], bytes], trace: str) -> Attempt:
    body = change(wire.message(call.body(trace)))
    return Sent(wire.Request(call.fields(trace), body, ends=False), shares=False)


def _without_body(call: Call, trace: str) -> Attempt:
    return Sent(wire.Request(call.fields(trace), None))


def _reset(call: Call, code: int, trace: str) -> Attempt:
    request = wire.Request(call.fields(trace), wire.message(call.body(trace)), ends=False)
    reset = wire.frame(wire.Frame.RST_STREAM, 0, 1, code.to_bytes(4, "big"))
    return Frames(request.frames(1) + reset, patience_seconds=0.3)


def _declared(call: Call, declared: int, trace: str) -> Attempt:
    fields = [*call.fields(trace), (b"content-length", str(declared).encode())]
    return Sent(wire.Request(fields, wire.message(call.body(trace))))
