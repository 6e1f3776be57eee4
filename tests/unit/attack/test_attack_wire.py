"""The raw client: what goes out is what was given, what comes in is bounded and understood."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from paymesh.attack import wire


@contextmanager
def _peer(answer: Callable[[socket.socket], None]) -> Iterator[wire.Connection]:
    """A connection whose other end does as `answer` says, and is then closed."""
    ours, theirs = socket.socketpair()

    def run() -> None:
        with theirs:
            answer(theirs)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with wire.Connection(ours) as connection:
            yield connection
    finally:
        thread.join(timeout=10)
    assert not thread.is_alive()


def _answering(data: bytes, *, hold: bool = False) -> Callable[[socket.socket], None]:
    def answer(peer: socket.socket) -> None:
        peer.sendall(data)
        if hold:
            while peer.recv(65536):
                pass

    return answer


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300))), st.booleans())
def test_any_bytes_stand_in_a_header(fields: list[tuple[bytes, bytes]], huffman: bool) -> None:  # noqa: FBT001
    """Whatever bytes a name and a value have, a decoder reads the same, in the same order."""
    decoder = Decoder(max_header_list_size=1 << 20)
    assert [tuple(f) for f in decoder.decode(wire.block(fields, huffman=huffman), raw=True)] == [
        (name, value) for name, value in fields
    ]


def test_integers_are_those_of_the_rfc() -> None:
    """RFC 7541, appendix C.1."""
    assert wire.integer(10, 5) == b"\x0a"
    assert wire.integer(1337, 5) == b"\x1f\x9a\x0a"
    assert wire.integer(42, 8) == b"\x2a"


def test_a_frames_length_may_lie() -> None:
    """RFC 9113, 4.1: three bytes of length, type, flags, stream; a length of the caller's."""
    honest = wire.frame(wire.Frame.DATA, wire.Flag.END_STREAM, 3, b"ab")
    assert honest == b"\x00\x00\x02\x00\x01\x00\x00\x00\x03ab"
    assert wire.frame(wire.Frame.DATA, 0, 3, b"ab", length=9)[:3] == b"\x00\x00\x09"


def test_a_long_header_goes_on_in_continuation_frames() -> None:
    """A block over a frame's size is split; only the last piece ends it (6.10)."""
    frames = wire.Request([(b"a", b"b" * 40_000)], body=None).frames(1)
    kinds = []
    while frames:
        size = int.from_bytes(frames[:3], "big")
        kinds.append((frames[3], frames[4]))
        frames = frames[9 + size :]
    assert kinds == [(1, 1), (9, 0), (9, 4)]


def test_a_reply_is_put_together() -> None:
    """Header, data and trailers of a stream become one reply, frames of others between them."""
    encoder = Encoder()
    head = encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
    other = encoder.encode([(":status", "503")])
    end = encoder.encode([("grpc-status", "7"), ("x-paymesh-reason", "RPC_NOT_GRANTED")])
    data = (
        wire.settings({})
        + wire.frame(1, 4, 1, head)
        + wire.frame(1, 5, 3, other)
        + wire.frame(0, 0, 1, b"abc")
        + wire.frame(1, 1, 1, end[:4])
        + wire.frame(9, 4, 1, end[4:])
    )
    with _peer(_answering(data, hold=True)) as connection:
        http2 = wire.Http2(connection)
        streams = [http2.start(wire.Request([])) for _ in range(2)]
        first, second = http2.wait(streams).values()
    assert (first.end, first.status, first.grpc_status, first.body) == ("answered", 200, 7, b"abc")
    assert first.reason == "RPC_NOT_GRANTED"
    assert (second.end, second.status) == ("answered", 503)


@pytest.mark.parametrize(
    ("data", "end", "code"),
    [
        (wire.frame(3, 0, 1, (7).to_bytes(4, "big")), "reset", 7),
        (wire.frame(7, 0, 0, bytes(4) + (1).to_bytes(4, "big") + b"why"), "goaway", 1),
        (wire.frame(7, 0, 0, bytes(8)), "closed", None),
        (b"", "closed", None),
        (wire.frame(1, 4, 1, b"\xff\xff\xff\xff\xff"), "closed", None),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "closed", None),
    ],
)
def test_every_end_has_a_name(data: bytes, end: str, code: int | None) -> None:
    """A reset, a GOAWAY, a hang-up, nonsense and another protocol are told apart."""
    with _peer(_answering(data)) as connection:
        reply = wire.Http2(connection, opening=b"").exchange(wire.Request([]))
    assert (reply.end, reply.code) == (end, code)


def test_silence_ends_at_the_deadline() -> None:
    """Who never answers is waited for no longer than was said."""
    with _peer(_answering(b"", hold=True)) as connection:
        began = time.monotonic()
        reply = wire.Http2(connection).exchange(wire.Request([]), timeout_seconds=0.2)
        assert 0.2 <= time.monotonic() - began < 2
        connection.close()
    assert reply.end == "timeout"


@pytest.mark.parametrize(
    ("data", "end", "status", "body"),
    [
        (b"HTTP/1.1 401 X\r\ncontent-length: 3\r\nA: b\r\n\r\nabcd", "answered", 401, b"abc"),
        (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 X\r\n\r\n", "answered", 204, b""),
        (b"HTTP/1.0 200 X\r\n\r\nto the end", "answered", 200, b"to the end"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\nabc", "closed", 200, b"abc"),
        (b"nonsense", "closed", None, b""),
    ],
)
def test_http1_is_read_to_its_end(data: bytes, end: str, status: int | None, body: bytes) -> None:
    """By its length, or to the end of the connection; interim responses are passed over."""
    with _peer(_answering(data)) as connection:
        reply = wire.exchange_http1(connection, b"GET / HTTP/1.1\r\n\r\n")
    assert (reply.end, reply.status, reply.body) == (end, status, body)


def test_nobody_listening_is_an_error() -> None:
    """Only here is an error raised: there is nobody whose answer it could be."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError):  # noqa: PT011  # refused, by whatever name the system has
            wire.connect(wire.Tcp("127.0.0.1", port), timeout_seconds=1)
