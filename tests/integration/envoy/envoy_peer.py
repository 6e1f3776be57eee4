"""A caller that sees HTTP/2 as it is: frames of one connection, over a workload's certificate.

A library takes a GOAWAY for the end; between the two GOAWAYs of a graceful end
(RFC 9113, section 6.8) calls are still answered, and that is what is tested.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from envoy_authority import Authority, Pair
from hpack import Decoder, Encoder

# An empty gRPC message.
_MESSAGE = bytes(5)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_HEAD_BYTES = 9


class Peer:
    """One mutual TLS connection to an Envoy's inbound listener."""

    def __init__(self, directory: Path, port: int, authority: Authority, svid: Pair) -> None:
        (directory / "peer.crt").write_bytes(svid.certificate)
        (directory / "peer.key").write_bytes(svid.key)
        context = ssl.create_default_context(cadata=authority.bundle.decode())
        context.load_cert_chain(directory / "peer.crt", directory / "peer.key")
        context.set_alpn_protocols(["h2"])
        context.check_hostname = False
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket = context.wrap_socket(plain)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        self._encoder, self._decoder = Encoder(), Decoder()
        self._received, self._next = b"", 1
        self.going_away = False
        self.closed = False
        self._answered: dict[int, str] = {}
        self._ended: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, rpc: str) -> int:
        """Sends a call and returns its stream."""
        stream, self._next = self._next, self._next + 2
        headers = self._encoder.encode(
            [
                *((":method", "POST"), (":scheme", "https"), (":path", rpc)),
                *((":authority", "ledger"), ("content-type", "application/grpc")),
                ("te", "trailers"),
            ]
        )
        self._socket.sendall(
            _frame(_HEADERS, _END_HEADERS, stream, headers)
            + _frame(_DATA, _END_STREAM, stream, _MESSAGE)
        )
        return stream

    def answer(self, stream: int) -> str:
        """Waits for the end of a call; its HTTP status, or `none`."""
        while stream not in self._ended and self.read(10):
            pass
        return self._answered.get(stream, "none")

    def read(self, timeout_seconds: float) -> bool:
        """Reads what there is; False if nothing came in time or the connection has ended."""
        self._socket.settimeout(timeout_seconds)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return False
        self._socket.settimeout(10)
        self.closed = not data
        self._received += data
        while len(self._received) >= _HEAD_BYTES:
            end = _HEAD_BYTES + int.from_bytes(self._received[:3], "big")
            if len(self._received) < end:
                break
            frame, self._received = self._received[:end], self._received[end:]
            self._see(frame[3], frame[4], int.from_bytes(frame[5:9], "big"), frame[9:])
        return bool(data)

    def _see(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _GOAWAY:
            self.going_away = True
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._socket.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _HEADERS:
            headers = dict(self._decoder.decode(payload))
            self._answered.setdefault(stream, str(headers.get(":status")))
        if kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self._ended.add(stream)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload
