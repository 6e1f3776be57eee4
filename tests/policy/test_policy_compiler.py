"""The compiler that stays compiles as the one that is started for it, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from paymesh.errors import SetupError
from paymesh.policy import compiler

GOOD = {"a.rego": b"package a\n\nx := 1\n", "b/data.json": b'{"y": [1, "\xc3\xa9"]}\n'}
BAD = {**GOOD, "c/d.rego": b"package c\n\nx := y\n"}


@contextlib.asynccontextmanager
async def warm(pdp: Path):
    """A compiler that runs."""
    async with compiler.Compiler(pdp) as found:
        await found.warm()
        yield found


async def test_both_say_the_same(pdp: Path) -> None:
    """What compiles, compiles; what does not is named in the same words."""
    async with compiler.Compiler(pdp) as resident:
        for files in (GOOD, BAD, GOOD, {}):
            said = []
            for compiled in (resident.compile(files), compiler.compile_files(pdp, files)):
                try:
                    await compiled
                    said.append("")
                except SetupError as error:
                    said.append(str(error))
            assert said[0] == said[1]
            assert ("c/d.rego:3" in said[0]) == (files is BAD)


async def test_one_that_was_killed_comes_back(pdp: Path) -> None:
    """Between two edits and in the middle of one: the edit is compiled all the same."""
    async with warm(pdp) as resident:
        first = resident.pid
        assert first
        os.kill(first, signal.SIGKILL)
        await resident.compile(GOOD)
        second = resident.pid
        assert second
        assert second != first
        os.kill(second, signal.SIGSTOP)
        compiling = asyncio.create_task(resident.compile(BAD))
        await asyncio.sleep(0.1)
        assert not compiling.done()
        os.kill(second, signal.SIGKILL)
        with pytest.raises(SetupError, match="does not compile"):
            await compiling
        await resident.compile(GOOD)


async def test_an_edit_that_is_given_up_does_not_answer_the_next(pdp: Path) -> None:
    """A cancelled question's answer is nobody's."""
    async with warm(pdp) as resident:
        assert resident.pid
        os.kill(resident.pid, signal.SIGSTOP)
        given_up = asyncio.create_task(resident.compile(BAD))
        await asyncio.sleep(0.1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await resident.compile(GOOD)


async def test_one_that_hangs_is_a_sentence(pdp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The edit is refused after a time, and the next one has a compiler again."""
    async with warm(pdp) as resident:
        assert resident.pid
        os.kill(resident.pid, signal.SIGSTOP)
        monkeypatch.setattr(compiler, "_CHECK_SECONDS", 0.2)
        with pytest.raises(SetupError, match="did not compile in"):
            await resident.compile(GOOD)
        monkeypatch.undo()
        await resident.compile(GOOD)


@pytest.mark.parametrize(
    "script", ["exit 3", "echo x", "echo '{}'", "read line; echo; exec sleep 60"]
)
async def test_a_program_without_the_command_compiles_otherwise(
    tmp_path: Path, pdp: Path, script: str
) -> None:
    """An official `opa` knows `check` and no `compile-server`, and is as good."""
    program = tmp_path / "opa"
    program.write_text(f'#!/bin/sh\n[ "$1" = check ] && exec {pdp} "$@"\n{script}\n')
    program.chmod(0o755)
    async with compiler.Compiler(program) as resident:
        await resident.warm()
        await resident.compile(GOOD)
        with pytest.raises(SetupError, match=r"c/d\.rego:3"):
            await resident.compile(BAD)


async def test_a_missing_program_is_a_sentence(tmp_path: Path) -> None:
    """It says what to do; warming it up is no error."""
    async with compiler.Compiler(tmp_path / "nothing") as resident:
        await resident.warm()
        with pytest.raises(SetupError, match="cannot be started: run `make setup`"):
            await resident.compile(GOOD)


async def test_nothing_is_left_running(pdp: Path) -> None:
    """The process ends with its context."""
    async with warm(pdp) as resident:
        pid = resident.pid
    assert resident.pid is None
    assert pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
