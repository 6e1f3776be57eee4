"""The fuzzer's generator, files, minimiser and ends, without a mesh."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import H2Error
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame
from hypothesis import given
from hypothesis import strategies as st

from paymesh.attack import wire
from paymesh.attack.fuzz import sequence as files
from paymesh.attack.fuzz.doors import Door
from paymesh.attack.fuzz.grammar import generate, plain
from paymesh.attack.fuzz.menu import Call, Menu, calls, placeholder
from paymesh.attack.fuzz.minimise import smallest
from paymesh.attack.fuzz.send import send
from paymesh.attack.fuzz.sequence import Sequence as Frames
from paymesh.errors import ConfigError

_ROOT = Path(__file__).resolve().parents[3]
_CALLS = [call for some in calls(_ROOT).values() for call in some]
_MENU = Menu(
    "a door", "ledger.paymesh.internal", tuple(_CALLS[3:]), tuple(_CALLS[:3]), token_bytes=300
)
_FRAME_HEAD_BYTES = 9


def _many(count: int, seed: int = 7) -> Iterator[Frames]:
    return (generate(seed, number, [_MENU]) for number in range(count))


def test_a_seed_and_a_number_make_the_same_bytes() -> None:
    """A run can be repeated by its seed, whatever was generated before."""
    first = list(_many(60))
    assert list(_many(60)) == first
    assert generate(7, 41, [_MENU]) == first[41]
    assert list(_many(60, seed=8)) != first


def test_sequences_differ_and_come_to_every_door() -> None:
    """A run does not send the same again and leaves no door out."""
    menus = [Menu(name, "x", (Call("/a.B/C", b""),)) for name in ("one", "two", "three")]
    made = [generate(1, number, menus) for number in range(90)]
    assert {one.door for one in made} == {"one", "two", "three"}
    assert len({one.frames for one in made}) > 80


@pytest.mark.parametrize("call", _CALLS, ids=lambda call: call.rpc)
def test_an_unspoilt_sequence_is_a_right_request(call: Call) -> None:
    """What sequences are made from is understood by a server as the call that it is."""
    server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    server.initiate_connection()
    events = server.receive_data(b"".join(plain(_MENU, call, "x").frames))
    (asked,) = [event for event in events if isinstance(event, RequestReceived)]
    data = b"".join(event.data for event in events if isinstance(event, DataReceived))
    assert dict(asked.headers)[b":path"] == call.rpc.encode()
    assert data == wire.message(call.body)
    assert any(isinstance(event, StreamEnded) for event in events)


def test_half_of_the_sequences_are_frames_that_a_library_reads() -> None:
    """Enough is well framed to get past the first byte, and enough is not."""
    count = 300
    readable = sum(_is_readable(one) for one in _many(count))
    assert count * 0.5 < readable < count * 0.95


def _is_readable(sequence: Frames) -> bool:
    data = b"".join(sequence.frames)
    if not data.startswith(wire.PREFACE):
        return False
    data = data.removeprefix(wire.PREFACE)
    while data:
        try:
            frame, length = Frame.parse_frame_header(memoryview(data[:_FRAME_HEAD_BYTES]))
            end = _FRAME_HEAD_BYTES + length
            frame.parse_body(memoryview(data[_FRAME_HEAD_BYTES:end]))
        except HyperframeError:
            return False
        if len(data) < end:
            return False
        data = data[end:]
    return True


def test_calls_have_their_form_in_json() -> None:
    """What the gateway turns into gRPC is sent to it, by the paths that the protos name."""
    by_rpc = {call.rpc.rpartition("/")[2]: call.rest for call in _CALLS}
    created, got = by_rpc["CreatePayment"], by_rpc["GetPayment"]
    assert created is not None
    assert got is not None
    assert (created.method, created.path) == ("POST", "/v1/payments")
    assert json.loads(created.body)["amount"] == {"currency_code": "EUR", "minor_units": 1}
    assert (got.method, got.body) == ("GET", b"")
    assert got.path.startswith("/v1/payments/0f022a55-")
    assert by_rpc["PostTransfer"] is None
    menu = dataclasses.replace(_MENU, speaks_json=True)
    sent = b"".join(data for n in range(60) for data in generate(1, n, [menu]).frames)
    assert b"/v1/payments" in sent
    assert b"application/json" in sent


def test_every_kind_of_frame_is_sent() -> None:
    """The grammar has all ten types of RFC 9113, and others."""
    kinds = {data[3] for one in _many(600) for data in one.frames if len(data) > _FRAME_HEAD_BYTES}
    assert set(wire.Frame) < kinds
    assert kinds - set(wire.Frame)


def test_a_sequence_has_no_token_in_it() -> None:
    """Files can be handed on: a token is put in when a sequence is sent."""
    token = b"secret" * 50
    door = Door(_MENU, None, wire.Unix(Path("/nowhere")), token=token)
    sequence = plain(_MENU, _CALLS[3], "x")
    assert token not in b"".join(sequence.frames)
    assert placeholder(len(token)) in b"".join(sequence.frames)
    filled = b"".join(door.filled(sequence).frames)
    assert token in filled
    assert len(filled) == len(b"".join(sequence.frames))


_FRAMES = st.lists(st.binary(max_size=120), max_size=5)


@given(st.lists(_FRAMES, max_size=4))
def test_a_file_gives_back_what_was_written(tmp_path_factory, written: list[list[bytes]]) -> None:
    """Whatever was sent, what is read is the same."""
    path = tmp_path_factory.mktemp("fuzz") / "some.hex"
    sequences = [Frames(f"7/{n}", "a door", tuple(frames)) for n, frames in enumerate(written)]
    files.write(path, sequences, ["because\nof # this", "é"[:0]])
    assert files.read(path) == sequences
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["0011", "  0011", "sequence 1/2 at x\n0g", "sequence 1/2\n00", "sequence 1 at x\n001"]
)
def test_what_is_no_file_of_sequences_is_refused(tmp_path: Path, text: str) -> None:
    """A line that means nothing is named, not skipped."""
    path = tmp_path / "some.hex"
    path.write_text(text)
    with pytest.raises(ConfigError, match="line"):
        files.read(path)


def test_only_whole_requests_are_waited_for() -> None:
    """A stream that the client never ends is nothing to wait for."""
    frames = (
        wire.PREFACE,
        wire.frame(wire.Frame.HEADERS, wire.Flag.END_HEADERS, 1, b""),
        wire.frame(wire.Frame.HEADERS, wire.Flag.END_HEADERS, 3, b""),
        wire.frame(wire.Frame.DATA, wire.Flag.END_STREAM, 3, b""),
        wire.frame(wire.Frame.DATA, wire.Flag.END_STREAM, 2, b""),
        b"x",
    )
    assert files.awaited(Frames("x", "y", frames)) == {3}


@given(st.sets(st.integers(0, 30), min_size=1, max_size=4), st.integers(31, 60))
def test_what_is_left_fails_and_needs_each_part(needed: set[int], count: int) -> None:
    """The smallest is exactly what it takes, in its order."""
    found = smallest(range(count), lambda parts: needed <= set(parts), tries=10_000)
    assert found == sorted(needed)


def test_the_minimiser_ends() -> None:
    """It asks no more often than it may, and what it returns fails."""
    asked: list[Sequence[int]] = []

    def fails(parts: Sequence[int]) -> bool:
        asked.append(parts)
        return sum(parts) > 1000

    found = smallest(range(100), fails, tries=20)
    assert len(asked) <= 20
    assert sum(found) > 1000


def test_a_good_part_gets_to_the_end_of_its_connection() -> None:
    """The first fault of a connection is its last: enough of them have none in their frames."""
    count = 200
    taken = 0
    for sequence in _many(count):
        server = H2Connection(
            H2Configuration(client_side=False, header_encoding=None, validate_inbound_headers=False)
        )
        server.initiate_connection()
        try:
            server.receive_data(b"".join(sequence.frames))
        except (H2Error, HyperframeError):
            continue
        taken += 1
    assert count * 0.3 < taken < count * 0.8


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        (lambda _: None, "closed"),
        (lambda peer: _talk(peer, acknowledge=False), "silent"),
        (lambda peer: _talk(peer, wire.frame(wire.Frame.GOAWAY, payload=b"\0" * 8)), "goaway"),
        (lambda peer: _talk(peer, wire.frame(wire.Frame.HEADERS, 5, 1, b"")), "open"),
    ],
)
def test_the_end_of_a_connection_is_told(
    tmp_path: Path, answer: Callable[[socket.socket], None], how: str
) -> None:
    """Closed, told to go, silent and answered are told apart."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "x.sock"))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, answer))
        thread.start()
        door = Door(_MENU, None, wire.Unix(tmp_path / "x.sock"))
        ending = send(door, plain(_MENU, _CALLS[3], "x"))
        thread.join(timeout=10)
    assert ending.how == how
    assert ending.responses == (how == "open")


def test_a_door_that_is_not_there_refuses(tmp_path: Path) -> None:
    """Nobody listening is no failure of the fuzzer's."""
    door = Door(_MENU, None, wire.Unix(tmp_path / "none.sock"))
    assert send(door, plain(_MENU, _CALLS[3], "x")).how == "refused"


def _serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    peer, _ = listener.accept()
    with peer:
        answer(peer)


def _talk(peer: socket.socket, data: bytes = b"", *, acknowledge: bool = True) -> None:
    """Reads to the PING, answers, and stays until the client goes."""
    seen = b""
    while b"fuzzing!" not in seen:
        seen += peer.recv(65536)
    if acknowledge:
        peer.sendall(wire.frame(wire.Frame.PING, wire.Flag.ACK, payload=b"fuzzing!"))
    peer.sendall(data)
    while peer.recv(65536):
        pass
