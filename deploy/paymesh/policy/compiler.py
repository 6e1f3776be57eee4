"""Compiles exactly the bytes that are going to be signed, not what the files say by then.

Once, in a process for it:

    await compile_files(pdp, files)

or again and again, in a process that stays:

    async with Compiler(pdp) as compiler:
        await compiler.compile(files)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from paymesh.errors import SetupError
from paymesh.runtime import launch

_CHECK_SECONDS = 20.0
_ATTEMPTS = 2
_MAX_ANSWER_BYTES = 4 << 20
_ENVIRONMENT = {"GOGC": "400", "GOMEMLIMIT": "256MiB"}


class _EndedError(Exception):
    """The process ended before it answered."""


async def compile_files(pdp: Path, files: Mapping[str, bytes]) -> None:
    """Compiles with `check --strict --bundle`, which an official `opa` has as well.

    Raises:
        SetupError: they do not compile; the compiler's own words.
    """
    with tempfile.TemporaryDirectory(prefix="paymesh-policy-") as scratch:
        for name, content in files.items():
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            process = await asyncio.create_subprocess_exec(
                str(pdp),
                *("check", "--strict", "--bundle", "."),
                cwd=scratch,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise SetupError(f"{pdp} cannot be started: run `make setup`") from error
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise SetupError(f"policies/ did not compile in {_CHECK_SECONDS:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        raise SetupError(f"policies/ does not compile: {output.decode(errors='replace').strip()}")


class Compiler:
    """`paymesh-pdp compile-server`, started by the first question and whenever it has ended.

    One compilation at a time. Leaving the context ends the process.
    """

    def __init__(self, pdp: Path) -> None:
        self._pdp = pdp
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process else None

    async def warm(self) -> None:
        """Starts the process unless it runs, so that the next question finds it ready."""
        if self._process is None or self._process.returncode is not None:
            await self._end()
            with contextlib.suppress(SetupError):
                await self.compile({})

    async def compile(self, files: Mapping[str, bytes]) -> None:
        """Compiles as `compile_files` does.

        Raises:
            SetupError: as there.
        """
        async with self._turn:
            for _ in range(_ATTEMPTS):
                try:
                    problem = await self._ask(files)
                except _EndedError:
                    continue  # somebody ended it
                if problem:
                    raise SetupError(f"policies/ does not compile: {problem}")
                return
            # Or it is not there, is a program without this command, or these files end it.
            await compile_files(self._pdp, files)

    async def _ask(self, files: Mapping[str, bytes]) -> str:
        process = self._process or await self._start()
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await _answer(process, files)
        except TimeoutError as error:
            await self._end()
            raise SetupError(f"policies/ did not compile in {_CHECK_SECONDS:.0f} s") from error
        except BaseException:
            # Ended, or cancelled half-way: what it would say next is not for the next question.
            await self._end()
            raise

    async def _start(self) -> asyncio.subprocess.Process:
        # What it has to say of itself goes where the log of this process goes.
        self._process = await asyncio.create_subprocess_exec(
            *launch.command([self._pdp, "compile-server"], None, death_signal="KILL"),
            env=launch.minimal_environment(Path("/"), _ENVIRONMENT),
            cwd="/",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_ANSWER_BYTES,
        )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _answer(process: asyncio.subprocess.Process, files: Mapping[str, bytes]) -> str:
    """The problem, empty when there is none.

    Raises:
        _EndedError: there is no answer.
    """
    if process.stdin is None or process.stdout is None:
        raise _EndedError
    listed = [{"path": name, "bytes": len(content)} for name, content in files.items()]
    try:
        process.stdin.write(json.dumps({"files": listed}).encode() + b"\n")
        process.stdin.writelines(files.values())
        await process.stdin.drain()
        return str(json.loads(await process.stdout.readline())["problem"])
    except (ConnectionError, ValueError, TypeError, KeyError) as error:
        raise _EndedError from error
