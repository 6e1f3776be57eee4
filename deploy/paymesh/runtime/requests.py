"""The supervisor's side of its control socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paymesh.runtime.process import Process

_START_SECONDS = 60.0
_MAX_LINE_BYTES = 65536
_POLL_SECONDS = 0.02


class RefusedError(Exception):
    """A request that cannot be carried out; the text is the reply."""


class Requests:
    """Answers JSON lines; see `paymesh.runtime.control` for what they mean."""

    def __init__(
        self, processes: Mapping[str, Process], flush: Callable[[], None] = lambda: None
    ) -> None:
        """Args:
        processes: by name.
        flush: writes the status file; called before each answer, so that whoever got
            one and looks there finds what it says.
        """
        self._processes = processes
        self._flush = flush

    async def listen(self, socket: Path) -> asyncio.Server:
        """Opens the socket, which must not exist, with mode 0600 from the start."""
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(
                self._connected, str(socket), limit=_MAX_LINE_BYTES
            )
        finally:
            os.umask(before)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            reply = await self._answer(line)
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):
            # The client went away, its line has no end, or the supervisor ends: in no
            # case is there anybody to tell.
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(line)
            await self._carry_out(fields)
            self._flush()
        except RefusedError as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"ok": False, "error": f"a malformed request: {error!r}"}
        return {"ok": True}

    async def _carry_out(self, fields: Mapping[str, Any]) -> None:
        operation = fields["operation"]
        if operation == "wait":
            await self._wait(fields.get("name"), float(fields["timeout_seconds"]))
            return
        process = self._process(fields["name"])
        if operation == "stop":
            name = fields.get("signal")
            await process.stop(signal.Signals[name] if name else None)
        elif operation in {"start", "restart"}:
            if operation == "restart":
                await process.stop()
            process.start()
            await self._wait(process.spec.name, _START_SECONDS)
        elif operation == "signal":
            if not process.send(signal.Signals[fields["signal"]]):
                raise RefusedError(f"{process.spec.name} does not run")
        else:
            raise RefusedError(f"there is no operation {operation!r}")

    def _process(self, name: str) -> Process:
        if name not in self._processes:
            raise RefusedError(f"there is no process {name!r}: see `paymesh status`")
        return self._processes[name]

    async def _wait(self, name: str | None, seconds: float) -> None:
        """Until it has been seen ready by a probe made after this call began."""
        deadline = time.monotonic() + seconds
        for process in [self._process(name)] if name else list(self._processes.values()):
            while True:
                missing = await process.missing()
                if missing is None:
                    break
                if time.monotonic() > deadline:
                    raise RefusedError(f"{process.spec.name} is not ready: {missing}")
                await asyncio.sleep(_POLL_SECONDS)
