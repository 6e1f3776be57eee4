"""gRPC calls over HTTP/2 (the protocol's own PROTOCOL-HTTP2.md), many on one connection."""

from __future__ import annotations

import base64
import dataclasses
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from paymesh.attack.probe.agent.connections import (
    Connector,
    FailedError,
    RefusedError,
    judged,
)
from paymesh.attack.probe.agent.plan import (
    ANSWERED,
    FAILED,
    REFUSED,
    Call,
    Conversation,
    Result,
)

# Before each attempt. What is only overloaded or slow has an answer after one of them.
PAUSES_SECONDS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)
CALL_SECONDS = 8.0
# What the callee is told: shorter, so that its own refusal arrives in time.
_GRPC_TIMEOUT = "6S"
_CALLS_AT_ONCE = 16
_CONVERSATIONS_AT_ONCE = 2
_MAX_MESSAGE_BYTES = 256 * 1024
_READ_BYTES = 65536
_PREFIX_BYTES = 5
_HTTP_OK = 200

# CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE: answers
# that say nothing about whether the call is allowed.
_NOT_SETTLED = frozenset({1, 2, 4, 8, 10, 14})
_HTTP_NOT_SETTLED = frozenset({408, 429, 500, 502, 503, 504})


class Calls:
    """Carries out conversations; one object for a plan."""

    def __init__(
        self, connector: Connector, headers: Mapping[str, Sequence[tuple[str, str]]]
    ) -> None:
        self._connector = connector
        self._headers = headers
        self._turn = threading.Semaphore(_CONVERSATIONS_AT_ONCE)

    def carry_out(self, conversation: Conversation) -> list[Result]:
        """A result for each call, after as many connections as it takes."""
        left = list(conversation["calls"])
        results: list[Result] = []
        doubtful = False
        why = "no attempt"
        last: dict[str, Result] = {}
        for attempt, pause_seconds in enumerate(PAUSES_SECONDS, start=1):
            time.sleep(pause_seconds)
            try:
                with self._connector.connect(conversation["address"], conversation["tls"]) as peer:
                    connection = _Connection(peer, self._headers)
                    with self._turn:
                        found = connection.ask(left)
            except RefusedError as refusal:
                if refusal.certain or doubtful:
                    return [*results, *(_refused(call, refusal, attempt) for call in left)]
                doubtful = True
                continue
            except FailedError as failure:
                why = str(failure)
                continue
            doubtful = False
            for result in found:
                result["attempts"] = attempt
            results += [result for result in found if result["state"] == ANSWERED]
            last |= {result["id"]: result for result in found}
            settled = {result["id"] for result in results}
            left = [call for call in left if call["id"] not in settled]
            if not left:
                return results
        return [*results, *(last.get(call["id"]) or _failed(call, why) for call in left)]


def _refused(call: Call, refusal: RefusedError, attempts: int) -> Result:
    return {
        "id": call["id"],
        "state": REFUSED,
        "detail": refusal.detail,
        "attempts": attempts,
    }


def _failed(call: Call, why: str) -> Result:
    return {"id": call["id"], "state": FAILED, "detail": why, "attempts": len(PAUSES_SECONDS)}


@dataclasses.dataclass
class _Stream:
    """A call under way."""

    call: Call
    deadline: float
    http: int | None = None
    code: int | None = None
    reason: str = ""
    message: bytearray = dataclasses.field(default_factory=bytearray)

    def note(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Remembers what the headers or the trailers say."""
        for name, value in headers:
            if name == b":status":
                self.http = int(value)
            elif name == b"grpc-status" and value.isdigit():
                self.code = int(value)
            elif name == b"x-paymesh-reason":
                self.reason = value.decode("ascii", "replace")[:64]

    @property
    def is_whole(self) -> bool:
        """Whether the first message is there."""
        if len(self.message) < _PREFIX_BYTES:
            return False
        length = int.from_bytes(self.message[1:_PREFIX_BYTES], "big")
        return len(self.message) >= _PREFIX_BYTES + length

    def result(self, ended: str = "") -> Result:
        """What is known when it ends, in an answer or (`ended`) otherwise."""
        result: Result = {"id": self.call["id"], "state": ANSWERED, "attempts": 1}
        if self.call.get("first") and self.is_whole:
            self.code = 0
        result["code"] = self.code
        result["detail"] = ended or self.reason or (f"HTTP {self.http}" if self.http else "")
        if self.code is None:
            settled = not ended and self.http not in {None, _HTTP_OK, *_HTTP_NOT_SETTLED}
        else:
            settled = self.code not in _NOT_SETTLED
        if not settled:
            result["state"] = FAILED
        if self.call.get("keep") and self.is_whole:
            result["data"] = base64.b64encode(self.message[_PREFIX_BYTES:]).decode("ascii")
        return result


class _Connection:
    """One HTTP/2 connection (RFC 9113).

    Raises:
        RefusedError: the peer does not speak HTTP/2 with us.
        FailedError: it does not answer.
    """

    def __init__(
        self, peer: socket.socket, headers: Mapping[str, Sequence[tuple[str, str]]]
    ) -> None:
        self._peer = peer
        self._headers = headers
        # What is sent is ours alone, so nothing of it is put right or checked on the way out.
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._live: dict[int, _Stream] = {}
        self._results: list[Result] = []
        self._open = True
        self._greet()

    def _greet(self) -> None:
        """Waits for the peer's SETTINGS: until then nothing was asked of it."""
        self._h2.initiate_connection()
        try:
            self._send()
            while True:
                data = self._peer.recv(_READ_BYTES)
                if not data:
                    raise RefusedError("closed before HTTP/2", certain=False)
                events = self._h2.receive_data(data)
                if any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events):
                    break
            self._send()
        except h2.exceptions.ProtocolError as error:
            raise RefusedError("no HTTP/2", certain=True) from error
        except OSError as error:
            raise judged(error, "before HTTP/2") from error

    def ask(self, calls: Sequence[Call]) -> list[Result]:
        """A result for each call, FAILED where the connection was lost under it."""
        waiting = deque(calls)
        limit = min(_CALLS_AT_ONCE, self._h2.remote_settings.max_concurrent_streams)
        try:
            while self._open and (waiting or self._live):
                while waiting and len(self._live) < limit:
                    self._begin(waiting.popleft())
                self._send()
                self._receive()
        except (OSError, h2.exceptions.ProtocolError):
            self._open = False
        lost = [*self._live.values(), *(_Stream(call, 0) for call in waiting)]
        return [*self._results, *(stream.result("connection lost") for stream in lost)]

    def _begin(self, call: Call) -> None:
        stream_id = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", call["path"]),
            (":authority", call["authority"]),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", _GRPC_TIMEOUT),
            ("traceparent", f"00-{call['id']}-{call['id'][:16]}-01"),
            ("x-request-id", str(uuid.UUID(call["id"]))),
        ]
        for name in call["headers"]:
            headers += self._headers[name]
        message = base64.b64decode(call["body"])
        self._h2.send_headers(stream_id, headers)
        self._h2.send_data(
            stream_id, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True
        )
        self._live[stream_id] = _Stream(call, time.monotonic() + CALL_SECONDS)

    def _send(self) -> None:
        if data := self._h2.data_to_send():
            self._peer.sendall(data)

    def _receive(self) -> None:
        now = time.monotonic()
        soonest = min(stream.deadline for stream in self._live.values())
        self._peer.settimeout(max(soonest - now, 0.01))
        try:
            data = self._peer.recv(_READ_BYTES)
        except TimeoutError:
            self._expire()
            return
        if not data:
            self._open = False
            return
        for event in self._h2.receive_data(data):
            self._handle(event)

    def _expire(self) -> None:
        now = time.monotonic()
        for stream_id, stream in list(self._live.items()):
            if stream.deadline <= now:
                self._leave(stream_id)
                self._end(stream_id, "no answer in time")

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._open = False
            return
        stream_id = getattr(event, "stream_id", None)
        stream = self._live.get(stream_id or 0)
        if isinstance(event, h2.events.DataReceived):
            # Whoever has gone still owes the connection its window.
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream is None or stream_id is None:
            return
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            stream.note(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            if len(stream.message) < _MAX_MESSAGE_BYTES:
                stream.message += event.data
            if stream.call.get("first") and stream.is_whole:
                self._leave(stream_id)
                self._end(stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._end(stream_id, f"reset {event.error_code}")
        elif isinstance(event, h2.events.StreamEnded):
            self._end(stream_id)

    def _leave(self, stream_id: int) -> None:
        self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)

    def _end(self, stream_id: int, ended: str = "") -> None:
        self._results.append(self._live.pop(stream_id).result(ended))
