"""HTTP/2 frames (RFC 9113) as bytes, with lengths and flags that may lie."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence

from paymesh.attack.wire.hpack import Field, block

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MAX_FRAME_BYTES = 16384


class Frame(enum.IntEnum):
    """Types (6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(enum.IntFlag):
    """Flags; ACK and END_STREAM share a bit."""

    NONE = 0
    END_STREAM = 1
    ACK = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 32


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None
) -> bytes:
    """One frame of any type; `length` may lie (24 bits), the stream's reserved bit may be set."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame (6.5)."""
    payload = b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in values.items())
    return frame(Frame.SETTINGS, payload=payload)


@dataclasses.dataclass(frozen=True)
class Request:
    """A request in its usual frames: HEADERS, CONTINUATION as needed, DATA, trailers.

    Attributes:
        fields: the header as it is, pseudo-headers included.
        body: None for a request that ends with its header.
        trailers: sent in a HEADERS frame of their own when there are any.
        huffman: how strings are written.
        ends: whether the stream is ended at all.
    """

    fields: Sequence[Field]
    body: bytes | None = b""
    trailers: Sequence[Field] = ()
    huffman: bool = False
    ends: bool = True

    def frames(self, stream: int) -> bytes:
        """The frames on this stream."""
        last = self.body is None and not self.trailers and self.ends
        parts = [self._head(stream, block(self.fields, huffman=self.huffman), ends=last)]
        if self.body is not None:
            ends = self.ends and not self.trailers
            parts.append(_data(stream, self.body, ends=ends))
        if self.trailers:
            coded = block(self.trailers, huffman=self.huffman)
            parts.append(self._head(stream, coded, ends=self.ends))
        return b"".join(parts)

    @staticmethod
    def _head(stream: int, coded: bytes, *, ends: bool) -> bytes:
        pieces = list(_pieces(coded))
        flags = Flag.END_STREAM if ends else Flag.NONE
        written = []
        for number, piece in enumerate(pieces):
            final = Flag.END_HEADERS if number == len(pieces) - 1 else Flag.NONE
            if number == 0:
                written.append(frame(Frame.HEADERS, flags | final, stream, piece))
            else:
                written.append(frame(Frame.CONTINUATION, final, stream, piece))
        return b"".join(written)


def _data(stream: int, body: bytes, *, ends: bool) -> bytes:
    pieces = list(_pieces(body))
    last = len(pieces) - 1
    return b"".join(
        frame(Frame.DATA, Flag.END_STREAM if ends and n == last else Flag.NONE, stream, piece)
        for n, piece in enumerate(pieces)
    )


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, max(len(data), 1), _MAX_FRAME_BYTES):
        yield data[start : start + _MAX_FRAME_BYTES]
