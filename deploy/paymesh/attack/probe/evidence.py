"""What the apps themselves say that they carried out: their logs, by trace id."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from paymesh.attack.model import Target
from paymesh.attack.probe.agent.calls import Calls
from paymesh.attack.probe.agent.connections import Connector
from paymesh.attack.probe.attempts import nonce
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.ground import Ground

_SECONDS = 15.0
_POLL_SECONDS = 0.02
_READ_BYTES = 32 << 20


@dataclasses.dataclass(frozen=True)
class Line:
    """A call that an app was asked for, as its log tells it."""

    trace_id: str
    target: Target
    code: str


class AppLog:
    """One app's calls from now on, through the log's rotation."""

    def __init__(self, ground: Ground, workload: str, rpc: str) -> None:
        """Args:
        ground: of the mesh that is up.
        workload: whose app.
        rpc: any RPC of its own service, to make a mark with.
        """
        self._ground = ground
        self._workload = workload
        self._rpc = rpc
        self._path = ground.paths.log(f"{workload}-app")
        self._older = self._path.with_name(f"{self._path.name}.1")
        self._before = self._copied()
        self._place = self._path.stat().st_size
        self._rest = b""
        self._lines: dict[str, list[Line]] = {}

    def lines(self, trace_id: str) -> Sequence[Line]:
        """What this app was asked for under a trace id, as far as read."""
        return self._lines.get(trace_id, ())

    def read_until(self, is_there: Callable[[], bool]) -> None:
        """Reads on until what was under way before this call is read and `is_there`.

        The log reaches its file a moment after the call, so a mark is put behind it: a
        call past the sidecar, which the app refuses and logs.

        Raises:
            ProbeError: the app does not log its calls; `is_there` is not asked for longer
                than it takes to be sure of that.
        """
        mark = self._mark()
        deadline = time.monotonic() + _SECONDS
        while True:
            for line in self._new():
                self._lines.setdefault(line.trace_id, []).append(line)
            if mark in self._lines and is_there():
                return
            if time.monotonic() > deadline:
                if mark not in self._lines:
                    raise ProbeError(f"{self._workload}'s app does not log its calls")
                return
            time.sleep(_POLL_SECONDS)

    def _mark(self) -> str:
        name = nonce()
        (result,) = Calls(Connector({}), {}).carry_out(
            {
                "address": self._ground.unix(self._workload, "app.sock"),
                "tls": None,
                "calls": [
                    {"id": name, "path": self._rpc, "authority": "mark", "headers": [], "body": ""}
                ],
            }
        )
        if result["state"] != "answered":
            raise ProbeError(f"{self._workload}'s app does not answer: {result.get('detail')}")
        return name

    def _new(self) -> Iterator[Line]:
        """Lines that are whole and new. A log that grew too large is copied to `.1` and then
        emptied; a line that is read twice at that moment does no harm.
        """
        if (copied := self._copied()) != self._before:
            self._before = copied
            yield from self._parsed(_tail(self._older, self._place))
            self._place = 0
        self._place = min(self._place, self._path.stat().st_size)
        data = _tail(self._path, self._place)
        self._place += len(data)
        yield from self._parsed(data)

    def _copied(self) -> int:
        """When the log was last copied away."""
        try:
            return self._older.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _parsed(self, data: bytes) -> Iterator[Line]:
        whole, separator, self._rest = (self._rest + data).rpartition(b"\n")
        for line in whole.splitlines() if separator else ():
            if b'"trace_id"' not in line or b'"call"' not in line:
                continue
            fields = json.loads(line)
            if fields.get("event") == "call":
                target = Target(self._workload, fields["rpc"])
                yield Line(fields["trace_id"], target, fields["code"])


def _tail(path: Path, place: int) -> bytes:
    with path.open("rb") as file:
        file.seek(place)
        return file.read(_READ_BYTES)
