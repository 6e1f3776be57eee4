"""One HTTP/2 connection (RFC 9113): frames go out as they are, replies are put together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable

from hpack import Decoder
from hpack.exceptions import HPACKError

from paymesh.attack.wire import http1
from paymesh.attack.wire.connection import Connection
from paymesh.attack.wire.frames import PREFACE, Flag, Frame, Request, frame, settings
from paymesh.attack.wire.hpack import Field
from paymesh.attack.wire.reply import Reply

_FRAME_HEADER_BYTES = 9
_WINDOW_BYTES = (1 << 31) - 1
_MAX_BODY_BYTES = 1 << 20


@dataclasses.dataclass
class _Stream:
    headers: list[Field] = dataclasses.field(default_factory=list)
    body: bytearray = dataclasses.field(default_factory=bytearray)
    block: bytearray = dataclasses.field(default_factory=bytearray)
    ends: bool = False


class Http2:
    """A client's side of a connection. Several streams may be under way.

    Not for several threads. The connection belongs to this object: `close` closes it.
    """

    def __init__(self, connection: Connection, opening: bytes | None = None) -> None:
        """`opening` replaces preface and SETTINGS; empty sends nothing."""
        self.connection = connection
        self.failed: Reply | None = None
        self._decoder = Decoder()
        self._buffer = b""
        self._streams: dict[int, _Stream] = {}
        self._done: dict[int, Reply] = {}
        self._next = 1
        self._began = False
        if opening is None:
            # Windows as wide as they can be: nothing that comes has to be waited for.
            window = _WINDOW_BYTES - 65535
            opening = (
                PREFACE
                + settings({1: 4096, 2: 0, 4: _WINDOW_BYTES})
                + frame(Frame.WINDOW_UPDATE, payload=window.to_bytes(4, "big"))
            )
        self.send(opening)

    def send(self, data: bytes, timeout_seconds: float = 5.0) -> bool:
        """Any bytes; whether they were taken."""
        return not data or self.connection.send(data, timeout_seconds)

    def stream(self) -> int:
        """The next stream of the client's that was not used."""
        number, self._next = self._next, self._next + 2
        return number

    def start(self, request: Request) -> int:
        """Sends a request on a stream of its own and returns that."""
        number = self.stream()
        self.send(request.frames(number))
        return number

    def exchange(self, request: Request, timeout_seconds: float = 5.0) -> Reply:
        """Sends a request and waits for its end."""
        number = self.start(request)
        return self.wait([number], timeout_seconds)[number]

    def wait(self, streams: Iterable[int], timeout_seconds: float = 5.0) -> dict[int, Reply]:
        """The ends of these streams; a connection that ends ends them all alike."""
        wanted = list(streams)
        deadline = time.monotonic() + timeout_seconds
        while self.failed is None and any(number not in self._done for number in wanted):
            more = self.connection.read(deadline)
            if more is None:
                break
            if not more:
                self._fail(Reply("closed", detail=self.connection.failure or "EOF"))
                break
            self._take(more)
        return {number: self._end_of(number) for number in wanted}

    def close(self) -> None:
        """Closes the connection without a word."""
        self.connection.close()

    def _end_of(self, number: int) -> Reply:
        if number in self._done:
            return self._done.pop(number)
        seen = self._streams.pop(number, _Stream())
        ended = self.failed or Reply("timeout")
        return _reply(seen, ended) if seen.headers else ended

    def _fail(self, reply: Reply) -> None:
        self.failed = self.failed or reply

    def _take(self, data: bytes) -> None:
        self._buffer += data
        if not self._began and self._buffer.startswith(b"HTTP/1"):
            # It never agreed to HTTP/2, and says so in its own tongue.
            found = http1.parse(self._buffer)
            if found is not None:
                self._fail(dataclasses.replace(found, end="closed", detail="answered in HTTP/1"))
            return
        self._began = True
        while len(self._buffer) >= _FRAME_HEADER_BYTES and self.failed is None:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < _FRAME_HEADER_BYTES + size:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            number = int.from_bytes(self._buffer[5:9], "big") & 0x7FFFFFFF
            payload = self._buffer[_FRAME_HEADER_BYTES : _FRAME_HEADER_BYTES + size]
            self._buffer = self._buffer[_FRAME_HEADER_BYTES + size :]
            self._frame(kind, flags, number, payload)

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind in {Frame.HEADERS, Frame.CONTINUATION}:
            self._headers(flags, number, payload)
        elif kind == Frame.DATA:
            seen = self._streams.setdefault(number, _Stream())
            if len(seen.body) < _MAX_BODY_BYTES:
                seen.body += payload
            if flags & Flag.END_STREAM:
                self._finish(number, Reply("answered"))
        elif kind == Frame.RST_STREAM:
            # After a whole response it only says that the rest is not wanted.
            if number not in self._done:
                self._finish(number, Reply("reset", code=int.from_bytes(payload, "big")))
        elif kind == Frame.GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
            if code:  # with none it is only a request to go elsewhere next time
                detail = payload[8:].decode("utf-8", "replace")
                self._fail(Reply("goaway", code=code, detail=detail))
        elif kind in {Frame.SETTINGS, Frame.PING} and not flags & Flag.ACK:
            self.send(frame(kind, Flag.ACK, payload=payload if kind == Frame.PING else b""))

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        seen = self._streams.setdefault(number, _Stream())
        seen.block += payload
        seen.ends = seen.ends or bool(flags & Flag.END_STREAM)
        if not flags & Flag.END_HEADERS:
            return
        try:
            decoded = self._decoder.decode(bytes(seen.block), raw=True)
        except HPACKError as error:
            self._fail(Reply("closed", detail=type(error).__name__))
            return
        seen.block.clear()
        seen.headers += [(bytes(name), bytes(value)) for name, value in decoded]
        if seen.ends:
            self._finish(number, Reply("answered"))

    def _finish(self, number: int, ended: Reply) -> None:
        self._done[number] = _reply(self._streams.pop(number, _Stream()), ended)


def _reply(seen: _Stream, ended: Reply) -> Reply:
    statuses = [value for name, value in seen.headers if name == b":status"]
    status = int(statuses[-1]) if statuses and statuses[-1].isdigit() else None
    return dataclasses.replace(
        ended,
        status=status,
        headers=tuple(pair for pair in seen.headers if pair[0] != b":status"),
        body=bytes(seen.body),
    )
