"""What can be seen at the target: calls that an app carried out, decisions, processes."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from paymesh.attack import wire
from paymesh.attack.corpus.calls import traceparent
from paymesh.calls import Catalogue
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.policy.log.files import NAME as DECISIONS
from paymesh.runtime import status
from paymesh.runtime.identity import ProcessId

_SETTLE_SECONDS = 10.0
_POLL_SECONDS = 0.01


@dataclasses.dataclass(frozen=True)
class Execution:
    """A line of an app's own log: it carried a call out, or began to."""

    workload: str
    rpc: str
    code: str
    trace: str
    caller: str
    user: str
    reason: str = ""


class Follower:
    """The JSON lines that came to a file since the last look, over its rotation too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file: IO[bytes] | None = None
        with contextlib.suppress(FileNotFoundError):
            self._file = path.open("rb")
            self._file.seek(0, 2)

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """What is no JSON object is passed over."""
        yield from self._read()
        if self._replaced():
            self.close()
            self._file, self._rest = self._path.open("rb"), b""
            yield from self._read()

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> Iterator[Mapping[str, Any]]:
        if self._file is None:
            return
        whole, _, self._rest = (self._rest + self._file.read()).rpartition(b"\n")
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found

    def _replaced(self) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != now.st_ino


class Observer:
    """The mesh from now on: what its apps carry out, what its decision points decide, which
    of its processes still are the ones that they were.
    """

    def __init__(self, paths: Paths, mesh: Mesh) -> None:
        self._paths = paths
        self._services = _a_method_of_each(mesh)
        self._apps = {name: Follower(paths.log(f"{name}-app")) for name in self._services}
        self._decisions = [Follower(paths.workload(name) / DECISIONS) for name in self._services]
        self._envoys = [Follower(paths.log(f"{w.name}-envoy")) for w in mesh.sidecars()]
        self._processes = _processes(paths)
        self._since = dt.datetime.now(dt.UTC)
        # Lines of calls that were answered before may be on their way to the files still.
        self.executions(secrets.token_hex(16))

    def executions(self, mark: str) -> list[Execution]:
        """Every call since the last time, those included that were under way when this was
        asked: a call past the sidecar, which the app refuses and logs under the trace id
        `mark`, comes behind them.
        """
        for name in self._services:
            self._mark(name, mark)
        found: list[Execution] = []
        waiting = dict(self._apps)
        deadline = time.monotonic() + _SETTLE_SECONDS
        while waiting:
            for name, log in list(waiting.items()):
                calls = [line for line in log.lines() if line.get("event") == "call"]
                if any(line.get("trace_id") == mark for line in calls):
                    del waiting[name]
                others = (line for line in calls if line.get("trace_id") != mark)
                found += [_execution(name, line) for line in others]
            if waiting:
                if time.monotonic() > deadline:
                    raise ConfigError(f"{', '.join(waiting)} does not log calls: is the mesh up?")
                time.sleep(_POLL_SECONDS)
        return found

    def decisions(self) -> list[Mapping[str, Any]]:
        """The records of decisions since the last time."""
        return [record for log in self._decisions for record in log.lines()]

    def answers(self) -> list[Mapping[str, Any]]:
        """The lines of the Envoys' access logs since the last time, of requests that have come
        since the beginning: Envoy writes a while after it has answered.
        """
        lines = (line for log in self._envoys for line in log.lines() if "flags" in line)
        return [line for line in lines if _moment(line) >= self._since]

    def replaced(self) -> list[str]:
        """The processes that are not the ones any more that they were at the beginning."""
        now = _processes(self._paths)
        return [
            name
            for name, process in self._processes.items()
            if now.get(name) != process or not process.is_alive()
        ]

    def _mark(self, name: str, mark: str) -> None:
        fields = wire.grpc_headers(
            self._services[name], "canary", scheme="http", extra=[traceparent(mark)]
        )
        socket = wire.Unix(self._paths.workload(name) / "app.sock")
        try:
            with wire.connect(socket) as connection:
                wire.Http2(connection).exchange(wire.Request(fields, wire.message(b"")))
        except OSError as error:
            raise ConfigError(
                f"{socket.path} cannot be reached ({error}): run this as root beside a running mesh"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for log in (*self._apps.values(), *self._decisions, *self._envoys):
            log.close()


def _moment(line: Mapping[str, Any]) -> dt.datetime:
    """When a request came, to the millisecond below."""
    moment = dt.datetime.fromisoformat(str(line["time"]))
    return moment + dt.timedelta(milliseconds=1)


def _a_method_of_each(mesh: Mesh) -> dict[str, str]:
    catalogue = Catalogue.load()
    served = {service.name: service.rpc_service or "" for service in mesh.services()}
    return {
        name: f"/{rpc_service}/{catalogue.service(rpc_service).methods[0].name}"
        for name, rpc_service in served.items()
    }


def _execution(workload: str, line: Mapping[str, Any]) -> Execution:
    names = ("rpc", "code", "trace_id", "caller", "user", "reason")
    return Execution(workload, *(str(line.get(name, "")) for name in names))


def _processes(paths: Paths) -> dict[str, ProcessId]:
    found = status.read(paths)
    if found is None or not found.is_alive():
        raise ConfigError("the mesh is not up: run `paymesh up`")
    return {process.name: process.id for process in found.processes if process.id is not None}
