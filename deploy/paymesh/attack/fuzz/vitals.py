"""Of a running mesh: its processes, their memory and words, its Envoys' open streams."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from paymesh.checks import unixhttp
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import status
from paymesh.runtime.identity import ProcessId

_SETTLE_SECONDS = 20.0
_POLL_SECONDS = 0.02
# Envoy's overload manager holds its heap below 128 MiB; the rest is its code, and Go's reserve.
MOST_MEMORY_BYTES = 400 << 20
MOST_GROWTH_BYTES = 120 << 20
# Envoys keep connections to each other for a while, and open more of them when there is much.
_POOLED_CONNECTIONS = 8
_WATCHED = ("-envoy", "-pdp", "-app")
_STATISTIC = re.compile(
    r"http\.(?:inbound|outbound|public)\."
    r"(downstream_cx_active|downstream_rq_active|ext_authz\.ok|ext_authz\.denied): (\d+)"
)
_LAST_WORDS = re.compile(
    rb"^.*(?:panic|goroutine \d|Traceback \(most recent|Segmentation|assert failure"
    rb"|terminate called|out of memory).*$",
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Counts:
    """What one Envoy counts, over its listeners."""

    connections: int = 0
    streams: int = 0
    decided: int = 0


class Vitals:
    """Compared with how they were at the beginning, or after the last restart."""

    def __init__(self, paths: Paths, mesh: Mesh) -> None:
        """Raises:
        ConfigError: the mesh is not up.
        """
        self._paths = paths
        self._envoys = [workload.name for workload in mesh.sidecars()]
        self.processes = processes(paths)
        watched = [name for name in self.processes if name.endswith(_WATCHED)]
        self._logs = {name: _Log(paths.log(name)) for name in watched}
        self._idle = self.counts()
        self._memory: dict[str, int] = {}

    def close(self) -> None:
        """Lets go of the logs."""
        for log in self._logs.values():
            log.close()

    def died(self) -> list[str]:
        """Processes that are not the ones any more that they were."""
        now = processes(self._paths)
        return [
            name
            for name, process in self.processes.items()
            if now.get(name) != process or not process.is_alive()
        ]

    def begin_again(self) -> None:
        """The processes as they are now are the ones to be compared with."""
        self.processes = processes(self._paths)
        self._idle = self.counts()
        self._memory.clear()

    def hanging(self, *, connections: bool) -> str:
        """What stays open after everything was closed; empty as soon as nothing does.

        Args:
            connections: whether they are waited for too, and not streams alone. Envoy keeps what
                it has done with for a second.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            left = [
                f"{name}'s Envoy has {now.streams} streams and {now.connections} connections"
                for name, now in self.counts().items()
                if now.streams > self._idle[name].streams
                or (connections and now.connections > self._most_connections(name))
            ]
            if not left or time.monotonic() > deadline:
                return ", ".join(left)
            time.sleep(_POLL_SECONDS)

    def _most_connections(self, name: str) -> int:
        return self._idle[name].connections + _POOLED_CONNECTIONS

    def counts(self) -> dict[str, Counts]:
        """By workload; one whose Envoy does not answer counts nothing."""
        return {name: self._counted(name) for name in self._envoys}

    def _counted(self, name: str) -> Counts:
        text = ""
        with contextlib.suppress(OSError):
            socket = self._paths.workload(name) / "admin.sock"
            text = unixhttp.get(socket, "/stats?filter=%5Ehttp%5C.")[1].decode(errors="replace")
        found = {"downstream_cx_active": 0, "downstream_rq_active": 0, "decided": 0}
        for kind, number in _STATISTIC.findall(text):
            key = "decided" if kind.startswith("ext_authz") else kind
            found[key] += int(number)
        return Counts(*found.values())

    def memory(self) -> dict[str, int]:
        """Resident bytes of each process that handles requests."""
        found = {}
        for name in self._logs:
            process = self.processes.get(name)
            with contextlib.suppress(OSError, IndexError, AttributeError):
                pages = Path(f"/proc/{process.pid}/statm").read_text("ascii")  # type: ignore[union-attr]
                found[name] = int(pages.split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return found

    def grown(self) -> list[str]:
        """Processes that take too much, or much more than when they were first looked at."""
        found = []
        for name, now in self.memory().items():
            before = self._memory.setdefault(name, now)
            if now > MOST_MEMORY_BYTES or now - before > MOST_GROWTH_BYTES:
                found.append(f"{name} has {now >> 20} MiB, {before >> 20} MiB at the beginning")
                self._memory[name] = now
        return found

    def last_words(self) -> Iterator[str]:
        """Lines of logs, since the last time, that nobody writes who is well."""
        for name, log in self._logs.items():
            for line in _LAST_WORDS.findall(log.read()):
                yield f"{name}: {line[:300].decode(errors='replace')}"


class _Log:
    """What is added to a log, over its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        with contextlib.suppress(FileNotFoundError):
            self._file = path.open("rb")
            self._file.seek(0, os.SEEK_END)

    def read(self) -> bytes:
        data = self._file.read() if self._file else b""
        with contextlib.suppress(FileNotFoundError):
            now = self._path.stat()
            if self._file is None or os.fstat(self._file.fileno()).st_ino != now.st_ino:
                self.close()
                self._file = self._path.open("rb")
                data += self._file.read()
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def processes(paths: Paths) -> dict[str, ProcessId]:
    """By name.

    Raises:
        ConfigError: the mesh is not up.
    """
    found = status.read(paths)
    if found is None or not found.is_alive():
        raise ConfigError("the mesh is not up: run `paymesh up`")
    return {process.name: process.id for process in found.processes if process.id is not None}
