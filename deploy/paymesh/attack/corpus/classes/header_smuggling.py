"""Class 8: headers within headers, headers that belong to a hop, lengths that lie.

CVE-2019-18802 (Envoy and white space behind a value), CVE-2023-27491 (invalid HTTP/2 headers
were passed on), CVE-2023-27493 (values were not escaped), CVE-2026-48743 (a length without a
body).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paymesh.attack import wire
from paymesh.attack.corpus.calls import Call, Change, Maker, first, plus, put, traceparent
from paymesh.attack.corpus.model import Attempt, Http1, Sent

TITLE = "header smuggling"

_PAYMENTS = b"spiffe://paymesh.internal/ns/paymesh/sa/payments"


def add(maker: Maker) -> None:
    """Over HTTP/2 to a callee and to the gateway, over HTTP/1 to the gateway."""
    calls = maker.calls
    for call in (calls.inside, calls.public):
        for name, change in _changes(call).items():
            maker.shape(name, "a header that is more, or none", change, call)
        for name, trailers in _TRAILERS.items():
            maker.add(
                f"trailer-{name}@{call.name}",
                "after the body",
                call.way,
                partial(_with, call, trailers),
            )
    for name, head, body in _http1():
        maker.add(
            name, "over HTTP/1", maker.ground.public_http1(), _raw(maker, head, body), grpc=False
        )
    maker.control(calls.may_inside, calls.may_public)
    maker.add(
        "control@trailer",
        "a trailer that means nothing",
        calls.may_inside.way,
        partial(_with, calls.may_inside, [(b"x-note", b"a")]),
        entitled=True,
    )


def _changes(call: Call) -> dict[str, Change]:
    granted = b"/paymesh.ledger.v1.LedgerService/GetBalance"
    return {
        "crlf-in-value": plus((b"x-note", b"a\r\nx-paymesh-caller: " + _PAYMENTS)),
        "lf-in-value": plus((b"x-note", b"a\nx-paymesh-caller: " + _PAYMENTS)),
        "nul-in-value": plus((b"x-note", b"a\0x-paymesh-caller: " + _PAYMENTS)),
        "crlf-in-name": plus((b"x-note: a\r\nx-paymesh-caller", _PAYMENTS)),
        "colon-in-name": plus((b"x-paymesh-caller:", _PAYMENTS)),
        "colon-value-in-name": plus((b"x-paymesh-caller: " + _PAYMENTS, b"")),
        "space-before-name": plus((b" x-paymesh-caller", _PAYMENTS)),
        "space-after-name": plus((b"x-paymesh-caller ", _PAYMENTS)),
        "empty-name": plus((b"", _PAYMENTS)),
        "upper-name": plus((b"X-Paymesh-Caller", _PAYMENTS)),
        "one-upper-letter": plus((b"x-paymesh-Caller", _PAYMENTS)),
        "underscores": plus((b"x_paymesh_caller", _PAYMENTS)),
        "path-after-ordinary": plus((b":path", granted)),
        "method-after-ordinary": plus((b":method", b"GET")),
        "unknown-pseudo": first((b":caller", _PAYMENTS)),
        "status-pseudo": first((b":status", b"200")),
        "protocol-pseudo": first((b":protocol", b"grpc")),
        "empty-pseudo": first((b":", _PAYMENTS)),
        "upper-pseudo": first((b":Path", granted)),
        "crlf-in-path": put(b":path", granted + b" HTTP/1.1\r\nx: y\r\n\r\n" + call.path.encode()),
        "crlf-in-method": put(b":method", b"POST " + granted + b" HTTP/1.1\r\n\r\nPOST"),
        "crlf-in-authority": put(b":authority", b"a\r\nx-paymesh-caller: " + _PAYMENTS),
        "connection": plus((b"connection", b"x-paymesh-caller, keep-alive")),
        "connection-authorization": plus((b"connection", b"authorization")),
        "keep-alive": plus((b"keep-alive", b"timeout=5")),
        "proxy-connection": plus((b"proxy-connection", b"keep-alive")),
        "upgrade": plus((b"upgrade", b"h2c"), (b"http2-settings", b"AAAA")),
        "transfer-encoding": plus((b"transfer-encoding", b"chunked")),
        "transfer-encoding-identity": plus((b"transfer-encoding", b"identity")),
        "te-gzip": put(b"te", b"gzip"),
        "content-length-more": plus((b"content-length", b"10000")),
        "content-length-less": plus((b"content-length", b"1")),
        "content-length-zero": plus((b"content-length", b"0")),
        "content-length-negative": plus((b"content-length", b"-1")),
        "content-length-plus": plus((b"content-length", b"+5")),
        "content-length-hex": plus((b"content-length", b"0x5")),
        "content-length-list": plus((b"content-length", b"5, 5")),
        "content-length-huge": plus((b"content-length", b"18446744073709551621")),
        "content-length-words": plus((b"content-length", b"five")),
    }


_TRAILERS: dict[str, list[wire.Field]] = {
    "caller": [(b"x-paymesh-caller", _PAYMENTS)],
    "client-cert": [(b"x-forwarded-client-cert", b"URI=" + _PAYMENTS)],
    "path": [(b":path", b"/paymesh.ledger.v1.LedgerService/GetBalance")],
    "status": [(b":status", b"200")],
    "authorization": [(b"authorization", b"Bearer x")],
    "encoding": [(b"grpc-encoding", b"gzip")],
    "content-length": [(b"content-length", b"0")],
    "grpc-status": [(b"grpc-status", b"0")],
    "upper": [(b"X-Note", b"a")],
    "crlf": [(b"x-note", b"a\r\nb: c")],
}


def _with(call: Call, trailers: list[wire.Field], trace: str) -> Attempt:
    return Sent(wire.Request(call.fields(trace), wire.message(call.body(trace)), trailers=trailers))


_CHUNKED_INNER = b"0\r\n\r\n%INNER%"


def _http1() -> list[tuple[str, bytes, bytes]]:
    """(name, more of the header, body); `%INNER%` is a request that has no token of its own."""
    post = b"POST /v1/payments HTTP/1.1\r\nhost: localhost\r\n%TOKEN%%TRACE%"
    get = b"GET /v1/payments HTTP/1.1\r\nhost: localhost\r\n%TRACE%"
    chunk = b"transfer-encoding: chunked\r\n"
    four = post + b"content-length: 4\r\n"
    return [
        ("cl-te", four + chunk, _CHUNKED_INNER),
        ("te-cl", post + chunk + b"content-length: 400\r\n", _CHUNKED_INNER),
        ("te-te", post + chunk + b"transfer-encoding: identity\r\n", _CHUNKED_INNER),
        ("te-upper", four + b"Transfer-Encoding: Chunked\r\n", _CHUNKED_INNER),
        ("te-space", four + b"Transfer-Encoding : chunked\r\n", _CHUNKED_INNER),
        ("te-tab", four + b"Transfer-Encoding:\tchunked\r\n", _CHUNKED_INNER),
        ("te-comma", four + b"transfer-encoding: x, chunked\r\n", _CHUNKED_INNER),
        ("te-fold", four + b"transfer-encoding:\r\n chunked\r\n", _CHUNKED_INNER),
        ("te-vt", four + b"transfer-encoding: \x0bchunked\r\n", _CHUNKED_INNER),
        ("two-lengths", post + b"content-length: 0\r\ncontent-length: 400\r\n", b"%INNER%"),
        ("length-list", post + b"content-length: 0, 400\r\n", b"%INNER%"),
        ("length-plus", post + b"content-length: +0\r\n", b"%INNER%"),
        ("get-body", get + b"content-length: 0\r\n", b"%INNER%"),
        ("chunk-extension", post + chunk, b"0;x=\r\n\r\n%INNER%"),
        ("chunk-lf", post + chunk, b"0\n\n%INNER%"),
        ("chunk-hex", post + chunk, b"0x0\r\n\r\n%INNER%"),
        ("chunk-overflow", post + chunk, b"10000000000000000\r\n%INNER%"),
        ("bare-lf", get.replace(b"\r\n", b"\n"), b"%INNER%"),
        ("bare-cr", get.replace(b"\r\n", b"\r"), b"%INNER%"),
        ("nul", get + b"x-note: a\0b\r\n", b"%INNER%"),
        ("fold", get + b"x-note: a\r\n authorization: Bearer x\r\n", b""),
        ("space-before-colon", get + b"authorization : Bearer %ALICE%\r\n", b""),
        ("spaces-in-line", get.replace(b" /v1/payments ", b"  /v1/payments  "), b""),
        ("http-0.9", b"GET /v1/payments\r\n", b""),
        ("http-2.0", get.replace(b"HTTP/1.1", b"HTTP/2.0"), b""),
        ("http-1.9", get.replace(b"HTTP/1.1", b"HTTP/1.9"), b""),
        ("absolute", get.replace(b"/v1/", b"http://ledger.paymesh.internal/v1/"), b""),
        ("two-hosts", get + b"host: ledger.paymesh.internal\r\n", b""),
        ("trailer-token", post.replace(b"%TOKEN%", b"") + chunk + b"trailer: authorization\r\n",
         b"0\r\nauthorization: Bearer %ALICE%\r\n\r\n"),
    ]  # fmt: skip


def _raw(maker: Maker, head: bytes, body: bytes) -> Callable[[str], Attempt]:
    alice = maker.ground.token("alice").encode()

    def attempt(trace: str) -> Attempt:
        name, value = traceparent(trace)
        line = name + b": " + value + b"\r\n"
        inner = b"GET /v1/payments HTTP/1.1\r\nhost: localhost\r\n" + line + b"\r\n"
        data = head + (b"\n" if b"\r" not in head else b"\r\n") + body
        # The outer request of alice is one that she may not make: nothing is charged to nobody.
        for mark, text in {
            b"%INNER%": inner,
            b"%TRACE%": line,
            b"%TOKEN%": b"authorization: Bearer " + alice + b"\r\n",
            b"%ALICE%": alice,
        }.items():
            data = data.replace(mark, text)
        return Http1(data)

    return attempt
