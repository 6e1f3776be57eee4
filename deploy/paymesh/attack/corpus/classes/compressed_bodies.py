"""Class 13: messages that are compressed, or said to be.

What policy cannot read it must not wave through. CVE-2022-29225 and CVE-2026-48044: Envoy's
decompressors and little messages that become large ones.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

from paymesh.attack import wire
from paymesh.attack.corpus.calls import Call, Maker, plus
from paymesh.attack.corpus.model import Attempt, Http1, Sent

TITLE = "compressed bodies"

_ENCODINGS = (
    "gzip", "deflate", "br", "zstd", "snappy", "x-gzip", "GZIP", "Identity", "IDENTITY",
    "identity,gzip", "gzip,identity", "identity, identity", " identity", "identity ", "",
    "none", "*", "identity;q=1",
)  # fmt: skip


def add(maker: Maker) -> None:
    """An amount above the limit: within, beside and behind compression."""
    calls = maker.calls
    for call in (calls.over, calls.too_much):
        for number, encoding in enumerate(_ENCODINGS, start=1):
            for flag in (0, 1):
                _message(
                    maker,
                    f"encoding-{number:02d}-flag-{flag}",
                    call,
                    (b"grpc-encoding", encoding.encode()),
                    flag=flag,
                    pack=_pack(encoding, flag),
                )
        for flag in (1, 2, 3, 0x7F, 0x80, 0x81, 0xFF):
            _message(maker, f"flag-{flag}", call, flag=flag)
            _message(maker, f"flag-{flag}-packed", call, flag=flag, pack=gzip.compress)
        for name in ("content-encoding", "x-content-encoding", "x-grpc-encoding"):
            for encoding in ("gzip", "identity", "deflate"):
                if encoding != "identity":
                    _message(
                        maker,
                        f"{name}-{encoding}",
                        call,
                        (name.encode(), encoding.encode()),
                        pack=_pack(encoding, 1),
                    )
        _message(
            maker,
            "bomb",
            call,
            (b"grpc-encoding", b"gzip"),
            flag=1,
            pack=lambda message: gzip.compress(message + bytes(2_000_000)),
        )
        _message(
            maker,
            "twice",
            call,
            (b"grpc-encoding", b"gzip"),
            flag=1,
            pack=lambda message: gzip.compress(gzip.compress(message)),
        )
    _json(maker)
    maker.control(calls.may_post, calls.may_pay)
    accept = plus((b"grpc-encoding", b"identity"), (b"grpc-accept-encoding", b"gzip"))
    maker.control(calls.may_post, calls.may_pay, change=accept, name="identity")


def _pack(encoding: str, flag: int) -> Callable[[bytes], bytes]:
    if flag and "gzip" in encoding.lower():
        return gzip.compress
    return zlib.compress if flag and encoding == "deflate" else bytes


def _message(
    maker: Maker,
    name: str,
    call: Call,
    *fields: wire.Field,
    flag: int = 0,
    pack: Callable[[bytes], bytes] = bytes,
) -> None:
    def attempt(trace: str) -> Attempt:
        body = wire.message(pack(call.body(trace)), flag=flag)
        return Sent(wire.Request([*call.fields(trace), *fields], body))

    maker.add(f"{name}@{call.name}", "an amount that nobody may move", call.way, attempt)


def _json(maker: Maker) -> None:
    ground = maker.ground
    token = ground.token("alice").encode()
    for encoding in (b"gzip", b"deflate", b"br", b"zstd", b"identity, gzip"):

        def attempt(trace: str, encoding: bytes = encoding) -> Attempt:
            body = gzip.compress(ground.payment_json(trace), mtime=0)
            head = (
                b"POST /v1/payments HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: application/json\r\n"
                b"authorization: Bearer " + token + b"\r\ncontent-encoding: " + encoding + b"\r\n"
                b"traceparent: 00-" + trace.encode() + b"-00000000000000c1-01\r\n"
            )
            return Http1(head + b"content-length: %d\r\n\r\n" % len(body) + body)

        maker.add(f"json-{encoding.decode()}", "JSON", ground.public_http1(), attempt, grpc=False)
