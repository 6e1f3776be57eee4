"""Class 17: CONNECT, extended CONNECT, upgrades and methods other than POST.

CVE-2026-73547 (Envoy's ext_authz died of a request without a path), CVE-2025-64763 (early data
of CONNECT), CVE-2026-47204 (CONNECT and direct responses), CVE-2024-23326 (upgrades).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paymesh.attack import wire
from paymesh.attack.corpus.calls import (
    Call,
    Change,
    Maker,
    each,
    first,
    plus,
    put,
    traceparent,
    without,
)
from paymesh.attack.corpus.model import Attempt, Http1, Sent

TITLE = "CONNECT, upgrades and other methods"

_METHODS = (
    b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PRI", b"post", b"Post",
    b"POST ", b" POST", b"", b"POSTX", b"P OST", b"M-SEARCH", b"SOURCE", b"\xff", b"X" * 5000, b"*",
)  # fmt: skip
_PROTOCOLS = (b"websocket", b"connect-udp", b"connect-ip", b"webtransport", b"grpc", b"h2c",
              b"HTTP/1.1", b"", b"bytestream")  # fmt: skip


def add(maker: Maker) -> None:
    """A forbidden call with each method, through each tunnel and after each upgrade."""
    calls = maker.calls
    for call in (calls.inside, calls.public):
        for number, method in enumerate(_METHODS, start=1):
            maker.shape(
                f"method-{number:02d}", repr(method[:20]), put(b":method", method), call, grpc=False
            )
        for name, change in _connects().items():
            maker.shape(name, "CONNECT", change, call, shares=False, grpc=False)
            maker.add(
                f"{name}-early@{call.name}",
                "CONNECT with a call behind it",
                call.way,
                partial(_early, call, change),
                grpc=False,
            )
        for header in (b"x-http-method-override", b"x-http-method", b"x-method-override"):
            change = each(put(b":method", b"GET"), plus((header, b"POST")))
            maker.shape(header.decode(), "POST by another header", change, call, grpc=False)
    for name, request in _UPGRADES.items():
        maker.add(
            f"http1-{name}",
            "over HTTP/1",
            maker.ground.public_http1(),
            _raw(maker, request),
            grpc=False,
        )
    maker.control(calls.may_inside, calls.may_public)


def _connects() -> dict[str, Change]:
    connect = put(b":method", b"CONNECT")
    changes: dict[str, Change] = {
        "connect": each(connect, without(b":path", b":scheme")),
        "connect-path": connect,
        "connect-scheme": each(connect, without(b":path")),
        "connect-port": each(
            connect, without(b":path", b":scheme"), put(b":authority", b"127.0.0.1:18502")
        ),
        "connect-socket": each(
            connect, without(b":path", b":scheme"), put(b":authority", b"unix:app.sock")
        ),
        "connect-no-authority": each(connect, without(b":path", b":scheme", b":authority")),
        "connect-not-grpc": each(connect, without(b":path", b":scheme", b"content-type", b"te")),
    }
    for protocol in _PROTOCOLS:
        name = f"extended-{protocol.decode().lower().replace('/', '-') or 'empty'}"
        changes[name] = each(connect, first((b":protocol", protocol)))
    changes["protocol-post"] = first((b":protocol", b"websocket"))
    return changes


def _early(call: Call, change: Change, trace: str) -> Attempt:
    """What a tunnel would carry to the app: another connection, with the call on it."""
    inner = wire.PREFACE + wire.settings({}) + call.request(trace).frames(1)
    return Sent(
        wire.Request(change(call.fields(trace)), inner, ends=False),
        shares=False,
        patience_seconds=0.5,
    )


def _request(line: bytes, *fields: bytes, behind: bytes = b"") -> bytes:
    head = (line + b" HTTP/1.1", b"host: x", *fields, b"%TRACE%", b"")
    return b"\r\n".join(head) + b"\r\n" + behind


_GET = b"GET /v1/payments"
_UPGRADE = b"connection: upgrade"
_UPGRADES: dict[str, bytes] = {
    "connect": _request(b"CONNECT 127.0.0.1:18502", behind=b"%INNER%"),
    "connect-length": _request(b"CONNECT 127.0.0.1:18502", b"content-length: 9"),
    "h2c": _request(
        _GET,
        b"connection: upgrade, http2-settings",
        b"upgrade: h2c",
        b"http2-settings: AAMAAABkAAQAAP__",
        behind=b"%INNER%",
    ),
    "h2c-post": _request(
        b"POST /v1/payments",
        _UPGRADE,
        b"upgrade: h2c",
        b"content-length: 0",
        behind=b"%INNER%",
    ),
    "websocket": _request(
        _GET,
        _UPGRADE,
        b"upgrade: websocket",
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        b"sec-websocket-version: 13",
        behind=b"%INNER%",
    ),
    "websocket-rpc": _request(
        b"GET /paymesh.ledger.v1.LedgerService/ListBalances", _UPGRADE, b"upgrade: websocket"
    ),
    "tls": _request(_GET, _UPGRADE, b"upgrade: TLS/1.0"),
    "two": _request(_GET, _UPGRADE, b"upgrade: h2c, websocket"),
    "preface": _request(b"PRI *", behind=b"%INNER%"),
    "options": _request(b"OPTIONS *"),
    "trace": _request(b"TRACE /v1/payments"),
    "lower": _request(b"get /v1/payments"),
    "expect": _request(
        b"POST /v1/payments", b"expect: 100-continue", b"content-length: 2", behind=b"{}"
    ),
}


def _raw(maker: Maker, request: bytes) -> Callable[[str], Attempt]:
    def attempt(trace: str) -> Attempt:
        name, value = traceparent(trace)
        call = maker.calls.public
        inner = wire.PREFACE + wire.settings({}) + call.request(trace).frames(1)
        data = request.replace(b"%TRACE%", name + b": " + value)
        return Http1(data.replace(b"%INNER%", inner))

    return attempt
