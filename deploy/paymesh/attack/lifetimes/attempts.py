"""`python -m paymesh.attack.lifetimes.attempts`: makes the same call again and again.

Runs under the uid of a thief, who has no file of the mesh: what was stolen comes on standard
input, a JSON list of attempts, and what came of each try goes to standard output. A thief's
client does not go away when it is asked to (GOAWAY, RFC 9113, 6.8), and `wire`'s does not.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paymesh.attack import wire

_ANSWER_SECONDS = 2.0

REFUSED = "refused"  # no connection, or nothing said on it
CLOSED = "closed"  # the kept connection is gone
UNANSWERED = "unanswered"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One call that is made from now until `until`.

    Attributes:
        address: `host:port`, or a Unix socket's path.
        authority: whose name the call bears.
        path: of the RPC.
        body: the serialised request, hex.
        until: seconds since the epoch.
        headers: beside those that gRPC needs.
        tls: `certificates` and `key`, PEM; empty when there are none to show; None for plaintext.
        every_seconds: between two tries.
        kept: whether all tries go over one connection, else each has one of its own.
        held: with `kept`: a request is begun on it and never finished, so that it is in use.
    """

    address: str
    authority: str
    path: str
    body: str
    until: float
    headers: tuple[tuple[str, str], ...] = ()
    tls: dict[str, str] | None = None
    every_seconds: float = 0.1
    kept: bool = False
    held: bool = False

    def connect(self) -> wire.Http2:
        """A new connection.

        Raises:
            OSError: there is none to be had.
        """
        host, _, port = self.address.rpartition(":")
        unix = self.address.startswith("/")
        endpoint: wire.Endpoint = (
            wire.Unix(Path(self.address)) if unix else wire.Tcp(host, int(port))
        )
        connection = wire.Http2(wire.connect(endpoint, self._tls(), _ANSWER_SECONDS))
        if self.held:
            unfinished = wire.Request(self._fields(secrets.token_hex(16)), None, ends=False)
            connection.start(unfinished)
        return connection

    def _tls(self) -> wire.Tls | None:
        if self.tls is None:
            return None
        shown = {name: text.encode() for name, text in self.tls.items()}
        return wire.Tls(shown.get("certificates", b""), shown.get("key", b""), sni=self.authority)

    def request(self, trace_id: str) -> wire.Request:
        """The call, under a trace id of its own."""
        return wire.Request(self._fields(trace_id), wire.message(bytes.fromhex(self.body)))

    def _fields(self, trace_id: str) -> tuple[wire.Field, ...]:
        extra = [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01"), *self.headers]
        encoded = [(name.encode(), value.encode()) for name, value in extra]
        return wire.grpc_headers(self.path, self.authority, extra=encoded)


@dataclasses.dataclass(frozen=True)
class Try:
    """One try: when it began and was over (seconds since the epoch), its trace id, and what came
    of it: `OK`, another gRPC status by its number, or a word of the above; the refuser's reason.
    """

    began: float
    ended: float
    trace_id: str
    outcome: str
    reason: str = ""


def carry_out(attempt: Attempt) -> list[Try]:
    """Every try until its end; over a kept connection until that is closed."""
    found: list[Try] = []
    connection: wire.Http2 | None = None
    while (began := time.time()) < attempt.until:
        trace_id = secrets.token_hex(16)
        try:
            connection = connection or attempt.connect()
            reply = connection.exchange(attempt.request(trace_id), _ANSWER_SECONDS)
            outcome, reason = _outcome(reply), reply.reason or ""
        except OSError as error:
            outcome, reason = REFUSED, type(error).__name__
        if attempt.kept and found and outcome == REFUSED:
            outcome = CLOSED
        found.append(Try(began, time.time(), trace_id, outcome, reason))
        if connection is not None and not attempt.kept:
            connection.close()
            connection = None
        if outcome == CLOSED:
            break
        time.sleep(max(0.0, began + attempt.every_seconds - time.time()))
    if connection is not None:
        connection.close()
    return found


def _outcome(reply: wire.Reply) -> str:
    if reply.end == "timeout":
        return UNANSWERED
    if reply.grpc_status is None:
        return REFUSED
    return str(reply.grpc_status) if reply.grpc_status else "OK"


def main() -> None:
    """Standard input to standard output, all attempts at once."""
    attempts = [Attempt(**fields) for fields in json.load(sys.stdin)]
    with ThreadPoolExecutor(len(attempts)) as pool:
        found = list(pool.map(carry_out, attempts))
    json.dump([[dataclasses.asdict(one) for one in tries] for tries in found], sys.stdout)


if __name__ == "__main__":
    main()
