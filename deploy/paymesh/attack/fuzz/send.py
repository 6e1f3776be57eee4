"""Sends sequences as they are, many at a time, and sees how each connection ends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from paymesh.attack import wire
from paymesh.attack.fuzz.doors import Door
from paymesh.attack.fuzz.sequence import Sequence as Frames
from paymesh.attack.fuzz.sequence import awaited

AT_ONCE = 24
_CONNECT_SECONDS = 3.0
_WRITE_SECONDS = 0.5
# Long enough for a decision and a call; a stream that ends later is cut off.
_ANSWER_SECONDS = 0.2
_PING_SECONDS = 0.1
_HEAD_BYTES = 9
_PING = wire.frame(wire.Frame.PING, payload=b"fuzzing!")


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a connection ended: `refused` (there was none), `closed` by the mesh, `goaway`, `silent`
    (no answer to a PING) or `open` to the end. `responses` and `resets` are of streams.
    """

    how: str
    responses: int = 0
    resets: int = 0


def send_all(pairs: Sequence[tuple[Door, Frames]]) -> list[Ending]:
    """What came of each, in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda pair: send(*pair), pairs))


def send(door: Door, sequence: Frames) -> Ending:
    """Sends one sequence over a connection of its own, and reads until nothing more is due."""
    try:
        connection = wire.connect(door.endpoint, door.tls, _CONNECT_SECONDS)
    except OSError:
        return Ending("refused")
    with connection:
        for data in door.filled(sequence).frames:
            if data and not connection.send(data, _WRITE_SECONDS):
                break
        return _read(connection, awaited(sequence))


def _read(connection: wire.Connection, waiting: set[int]) -> Ending:
    """Reads the heads of frames until the streams are over; what stands in them is nobody's
    business here. A connection that does not even answer a PING is given up at once: Envoy keeps
    a broken one for a second and says nothing.
    """
    connection.send(_PING, _WRITE_SECONDS)
    began = time.monotonic()
    seen, buffer, responses, resets, alive = "silent", b"", 0, 0, False
    while waiting or not alive:
        data = connection.read(began + (_ANSWER_SECONDS if alive else _PING_SECONDS))
        if data is None:
            break
        if not data:
            seen = "closed" if seen != "goaway" else seen
            break
        buffer += data
        while (size := _size(buffer)) <= len(buffer):
            kind, flags, stream, payload = _parts(buffer[:size])
            buffer = buffer[size:]
            if kind == wire.Frame.GOAWAY:
                return Ending("goaway", responses, resets)
            if kind == wire.Frame.PING and flags & wire.Flag.ACK and payload == _PING[_HEAD_BYTES:]:
                alive, seen = True, "open"
            elif kind == wire.Frame.RST_STREAM:
                resets += 1
                waiting.discard(stream)
            elif kind in {wire.Frame.HEADERS, wire.Frame.DATA} and flags & wire.Flag.END_STREAM:
                responses += 1
                waiting.discard(stream)
    return Ending(seen, responses, resets)


def _size(buffer: bytes) -> int:
    """Of the first frame; more than there is while its head is not whole."""
    whole = len(buffer) >= _HEAD_BYTES
    return _HEAD_BYTES + int.from_bytes(buffer[:3], "big") if whole else _HEAD_BYTES


def _parts(data: bytes) -> tuple[int, int, int, bytes]:
    return data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF, data[_HEAD_BYTES:]
