"""The handshake from the client's side, and the connection that comes of it."""

from __future__ import annotations

import dataclasses
import os
import socket
import struct
import time
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from paymesh.attack.wire.connection import Connection, Endpoint, open_stream
from paymesh.attack.wire.tls13 import schedule
from paymesh.attack.wire.tls13.hello import Hello, vector

_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_SERVER_HELLO, _TICKET, _CERTIFICATE, _REQUEST, _VERIFY, _FINISHED = 2, 4, 11, 13, 15, 20
_KEY_SHARE = 51
_ECDSA_P256 = 0x0403
_MAX_RECORD_BYTES = 16384
_CONTEXT = b" " * 64 + b"TLS 1.3, client CertificateVerify\0"


@dataclasses.dataclass(frozen=True, repr=False)
class Identity:
    """A chain (DER, the leaf first) and a key that need not belong together."""

    chain: tuple[bytes, ...]
    key: ec.EllipticCurvePrivateKey


@dataclasses.dataclass(frozen=True)
class Script:
    """What the client does otherwise than it should.

    Attributes:
        hello: its first message.
        without: messages that are left out: `certificate`, `verify`, `finished`.
        scheme: the signature scheme that CertificateVerify claims.
        signature: stands there in place of a signature.
        early: sent under early data keys right behind the hello.
        piece_bytes: records of the first flight are cut into such pieces.
    """

    hello: Hello = dataclasses.field(default_factory=Hello)
    without: frozenset[str] = frozenset()
    scheme: int = _ECDSA_P256
    signature: bytes | None = None
    early: bytes = b""
    piece_bytes: int = _MAX_RECORD_BYTES


class Tls13(Connection):
    """A connection whose bytes go through the records of TLS 1.3."""

    def __init__(self, stream: socket.socket) -> None:
        super().__init__(stream)
        self.tickets = 0
        self._raw = b""
        self._out: schedule.Protection | None = None
        self._in: schedule.Protection | None = None

    def send(self, data: bytes, timeout_seconds: float = 5.0) -> bool:
        """Application data."""
        return self.send_record(_DATA, data, timeout_seconds)

    def send_record(self, kind: int, data: bytes, timeout_seconds: float = 5.0) -> bool:
        """Records of any type, protected once there are keys."""
        pieces = range(0, max(len(data), 1), _MAX_RECORD_BYTES)
        return super().send(
            b"".join(self._seal(kind, data[at : at + _MAX_RECORD_BYTES]) for at in pieces),
            timeout_seconds,
        )

    def read(self, deadline: float) -> bytes | None:
        """Application data; alerts end the connection, tickets are counted."""
        while True:
            found = self.record(deadline)
            if found is None:
                return None
            kind, data = found
            if kind == _DATA:
                return data
            if kind == _ALERT or not kind:
                return b""
            self.tickets += data[:1] == bytes([_TICKET])

    def record(self, deadline: float) -> tuple[int, bytes] | None:
        """Type and content of the next record; type 0 once the other side is gone."""
        while True:
            size = struct.unpack(">H", self._raw[3:5])[0] if len(self._raw) >= 5 else 0  # noqa: PLR2004
            if size and len(self._raw) >= 5 + size:
                header, data = self._raw[:5], self._raw[5 : 5 + size]
                self._raw = self._raw[5 + size :]
                if header[0] != _CHANGE_CIPHER:
                    return self._opened(header, data)
                continue
            more = super().read(deadline)
            if more is None:
                return None
            if not more:
                return 0, b""
            self._raw += more

    def protect(self, outwards: bytes | None = None, inwards: bytes | None = None) -> None:
        """Changes to the keys of these traffic secrets."""
        self._out = schedule.Protection(outwards) if outwards else self._out
        self._in = schedule.Protection(inwards) if inwards else self._in

    def _seal(self, kind: int, data: bytes) -> bytes:
        if self._out is None:
            return struct.pack(">BHH", kind, 0x0301, len(data)) + data
        return self._out.seal(kind, data)

    def _opened(self, header: bytes, data: bytes) -> tuple[int, bytes]:
        kind = header[0]
        if self._in is not None and kind == _DATA:
            try:
                kind, data = self._in.open(header, data)
            except ValueError as error:
                self.failure = str(error)
                return 0, b""
        if kind == _ALERT:
            self.failure = f"alert {data[1]}"
        return kind, data


def handshake(
    endpoint: Endpoint,
    identity: Identity | None,
    script: Script | None = None,
    timeout_seconds: float = 5.0,
) -> Tls13:
    """Goes through the handshake as far as the server plays along.

    Whatever the server says against it is in the connection's `failure`, at once or at its
    first read: it judges the client's certificate when the client has finished.

    Raises:
        OSError: nobody listens there.
    """
    script = script or Script()
    connection = Tls13(open_stream(endpoint, timeout_seconds))
    try:
        _Handshake(connection, identity, script, time.monotonic() + timeout_seconds).run()
    except BaseException:
        connection.close()
        raise
    return connection


class _Handshake:
    def __init__(
        self, connection: Tls13, identity: Identity | None, script: Script, deadline: float
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._script = script
        self._deadline = deadline
        self._transcript = b""
        self._pending = b""

    def run(self) -> None:
        private = X25519PrivateKey.generate()
        hello = self._script.hello.message(os.urandom(32), private.public_key().public_bytes_raw())
        self._transcript += hello
        self._say_hello(hello)
        psk = self._script.hello.psk
        early = schedule.mac(schedule.NONE, psk[1] if psk else schedule.NONE)
        if self._script.early:
            self._connection.protect(outwards=schedule.derive(early, "c e traffic", hello))
            self._connection.send(self._script.early)
        answer = next(self._messages(), b"")
        share = _key_share(answer) if answer[:1] == bytes([_SERVER_HELLO]) else b""
        if not share:
            return
        # No ticket is ever taken: what goes on is a full handshake, without the ticket's key.
        early = schedule.mac(schedule.NONE, schedule.NONE)
        shared = private.exchange(X25519PublicKey.from_public_bytes(share))
        secret = schedule.mac(schedule.derive(early, "derived", b""), shared)
        client = schedule.derive(secret, "c hs traffic", self._transcript)
        self._connection.protect(client, schedule.derive(secret, "s hs traffic", self._transcript))
        asked = False
        for message in self._messages():
            asked = asked or message[0] == _REQUEST
            if message[0] == _FINISHED:
                break
        else:
            return
        master = schedule.mac(schedule.derive(secret, "derived", b""), schedule.NONE)
        applications = [
            schedule.derive(master, label, self._transcript)
            for label in ("c ap traffic", "s ap traffic")
        ]
        self._finish(client, asked=asked)
        self._connection.protect(*applications)

    def _say_hello(self, hello: bytes) -> None:
        size = self._script.piece_bytes
        for start in range(0, len(hello), size):
            self._connection.send_record(_HANDSHAKE, hello[start : start + size])

    def _finish(self, client: bytes, *, asked: bool) -> None:
        without = self._script.without
        flight = []
        chain = self._identity.chain if self._identity else ()
        if asked and "certificate" not in without:
            entries = b"".join(vector(der, 3) + bytes(2) for der in chain)
            flight.append(self._said(_CERTIFICATE, b"\0" + vector(entries, 3)))
        if asked and self._identity and "verify" not in without:
            signature = self._script.signature
            if signature is None:
                signed = _CONTEXT + schedule.digest(self._transcript)
                signature = self._identity.key.sign(signed, ec.ECDSA(hashes.SHA256()))
            body = struct.pack(">H", self._script.scheme) + vector(signature, 2)
            flight.append(self._said(_VERIFY, body))
        if "finished" not in without:
            flight.append(self._said(_FINISHED, schedule.finished(client, self._transcript)))
        if flight:
            self._connection.send_record(_HANDSHAKE, b"".join(flight))

    def _said(self, kind: int, body: bytes) -> bytes:
        message = bytes([kind]) + vector(body, 3)
        self._transcript += message
        return message

    def _messages(self) -> Iterator[bytes]:
        """The server's handshake messages, each in the transcript once it is here."""
        while True:
            size = 4 + int.from_bytes(self._pending[1:4], "big")
            if len(self._pending) >= max(size, 4):
                message, self._pending = self._pending[:size], self._pending[size:]
                self._transcript += message
                yield message
                continue
            found = self._connection.record(self._deadline)
            if found is None or found[0] != _HANDSHAKE:
                return
            self._pending += found[1]


def _key_share(hello: bytes) -> bytes:
    """The server's X25519 share, empty where there is none (an older version, a retry)."""
    at = 4 + 2 + 32
    at += 1 + hello[at] + 2 + 1 + 2
    while at + 4 <= len(hello):
        kind, size = struct.unpack(">HH", hello[at : at + 4])
        data = hello[at + 4 : at + 4 + size]
        if kind == _KEY_SHARE and size == 4 + 32:
            return data[4:]
        at += 4 + size
    return b""
