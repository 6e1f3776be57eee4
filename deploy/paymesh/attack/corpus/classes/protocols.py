"""Class 18: other protocols than the one that is spoken there, older TLS, unruly handshakes.

CVE-2009-3555 (renegotiation), CVE-2014-0224 (messages out of turn), CVE-2022-25640 (wolfSSL: a
client that leaves out its CertificateVerify was taken for whoever it said).
"""

from __future__ import annotations

import dataclasses
from functools import partial

from paymesh.attack import wire
from paymesh.attack.corpus.calls import Call, Maker, traceparent
from paymesh.attack.corpus.model import Attempt, Http1, Sent, Steps
from paymesh.attack.wire import tls13

TITLE = "other protocols, older TLS, unruly handshakes"

_ALERT, _HANDSHAKE, _CHANGE_CIPHER = 21, 22, 20


def add(maker: Maker) -> None:
    """A call that its caller may make, so that all that is wrong is how it is made."""
    calls = maker.calls
    call = dataclasses.replace(calls.may_post, name="post")
    _plaintext(maker, call)
    for name, script in _scripts().items():
        maker.add(name, "another handshake", call.way.changed(script=script), partial(_sent, call))
    for name, (kind, data) in _RECORDS.items():
        maker.add(name, "a record out of turn", call.way, partial(_record, call, kind, data))
    for name, opening in _openings().items():
        maker.add(
            name, "another beginning", call.way.changed(opening=opening), partial(_sent, call)
        )
    for version in (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"HTTP/2.0", b"HTTP/0.9", b"RTSP/1.0"):
        way = call.way.changed(opening=b"")
        maker.add(
            f"within-{version.decode().lower()}",
            "HTTP/1 where HTTP/2 is spoken",
            way,
            partial(_http1, call, version),
            grpc=False,
        )
    maker.control(calls.may_post, calls.may_inside)
    cancelled = partial(_record, call, _ALERT, b"\x01\x5a")
    maker.add(
        "control@cancelled",
        "user_canceled, which TLS 1.3 passes over (6.1)",
        call.way,
        cancelled,
        entitled=True,
    )
    in_pieces = call.way.changed(script=tls13.Script(piece_bytes=1))
    maker.add(
        "control@pieces", "a handshake byte by byte", in_pieces, partial(_sent, call), entitled=True
    )


def _plaintext(maker: Maker, call: Call) -> None:
    plain = call.way.changed(script=None, identity=None)
    maker.add("plaintext", "HTTP/2 without TLS", plain, partial(_sent, call))
    bare = plain.changed(opening=b"")
    for version in (b"HTTP/1.1", b"HTTP/1.0"):
        maker.add(
            f"plaintext-{version.decode().lower()}",
            "HTTP/1 without TLS",
            bare,
            partial(_http1, call, version),
            grpc=False,
        )
    for name, data in {
        "ssl-2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
        "proxy-1": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
        "proxy-2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02",
        "socks": b"\x05\x01\x00",
        "ssh": b"SSH-2.0-x\r\n",
        "nothing": b"",
    }.items():
        opening = data + wire.PREFACE + wire.settings({})
        maker.add(
            f"plaintext-{name}",
            "something else first",
            plain.changed(opening=opening),
            partial(_sent, call),
        )
    stranger = (
        plain.changed(script=tls13.Script(call.way.script.hello)) if call.way.script else plain
    )
    maker.add("no-certificate", "TLS without a certificate", stranger, partial(_sent, call))


def _scripts() -> dict[str, tls13.Script]:
    hello = tls13.Hello
    scripts = {
        f"version-{name}": tls13.Script(hello(versions=versions, legacy_version=legacy))
        for name, versions, legacy in (
            ("ssl-3", (), 0x0300),
            ("1-0", (), 0x0301),
            ("1-1", (), 0x0302),
            ("1-2", (), 0x0303),
            ("1-2-said", (0x0303,), 0x0303),
            ("1-0-said", (0x0301, 0x0302), 0x0301),
            ("1-4", (0x0305,), 0x0303),
            ("draft", (0x7F1C,), 0x0303),
        )
    }
    ciphers = {"null": (0x0000, 0x0001), "export": (0x0003,), "rc4": (0x0005,), "none": ()}
    scripts |= {
        f"cipher-{name}": tls13.Script(hello(ciphers=suites)) for name, suites in ciphers.items()
    }
    scripts |= {
        f"without-{'-'.join(sorted(left))}": tls13.Script(without=frozenset(left))
        for left in (
            {"certificate"}, {"verify"}, {"finished"}, {"certificate", "verify"},
            {"verify", "finished"}, {"certificate", "verify", "finished"},
        )
    }  # fmt: skip
    scripts["compression"] = tls13.Script(hello(compression=b"\x01\x00"))
    scripts["renegotiation"] = tls13.Script(
        hello(extra=(tls13.extension(0xFF01, b"\x04abcd"),), versions=())
    )
    scripts["extension-twice"] = tls13.Script(hello(extra=(tls13.extension(16, b"\0\3\2h2"),)))
    scripts["session-id-long"] = tls13.Script(hello(session_id=bytes(33)))
    return scripts


# (type, content): in place of the first record of the connection itself.
_RECORDS: dict[str, tuple[int, bytes]] = {
    "alert-close-notify": (_ALERT, b"\x01\x00"),
    "alert-fatal": (_ALERT, b"\x02\x28"),
    "alert-no-renegotiation": (_ALERT, b"\x01\x64"),
    "alert-empty": (_ALERT, b""),
    "hello-again": (_HANDSHAKE, b"\x01\x00\x00\x00"),
    "hello-request": (_HANDSHAKE, b"\x00\x00\x00\x00"),
    "certificate-again": (_HANDSHAKE, b"\x0b\x00\x00\x04\x00\x00\x00\x00"),
    "finished-again": (_HANDSHAKE, b"\x14\x00\x00\x20" + bytes(32)),
    "ticket": (_HANDSHAKE, b"\x04\x00\x00\x00"),
    "key-update-wrong": (_HANDSHAKE, b"\x18\x00\x00\x01\x07"),
    "change-cipher": (_CHANGE_CIPHER, b"\x01"),
    "unknown-record": (99, b"x"),
}


def _openings() -> dict[str, bytes]:
    settings = wire.settings({})
    return {
        "no-preface": settings,
        "preface-only": wire.PREFACE,
        "preface-cut": wire.PREFACE[:-2] + settings,
        "preface-twice": wire.PREFACE * 2 + settings,
        "preface-lower": wire.PREFACE.lower() + settings,
        "preface-http-1": b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n" + settings,
        "upgrade-first": b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\n\r\n" + wire.PREFACE,
        "ping-first": wire.PREFACE + wire.frame(wire.Frame.PING, payload=bytes(8)) + settings,
        "newline-first": b"\r\n" + wire.PREFACE + settings,
    }


def _sent(call: Call, trace: str) -> Attempt:
    return Sent(call.request(trace), shares=False)


def _record(call: Call, kind: int, data: bytes, trace: str) -> Attempt:
    def steps(http2: wire.Http2) -> wire.Reply:
        if isinstance(http2.connection, tls13.Tls13):
            http2.connection.send_record(kind, data)
        return http2.exchange(call.request(trace), timeout_seconds=1)

    return Steps(bytes([kind]) + data, steps)


def _http1(call: Call, version: bytes, trace: str) -> Attempt:
    name, value = traceparent(trace)
    body = wire.message(call.body(trace))
    head = (
        b"POST " + call.path.encode() + b" " + version,
        b"host: " + call.way.authority.encode(),
        b"content-type: application/grpc",
        b"te: trailers",
        name + b": " + value,
        b"content-length: %d" % len(body),
    )
    return Http1(b"\r\n".join(head) + b"\r\n\r\n" + body)
