"""The status file, and requests over the control socket."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from pathlib import Path

import pytest

from paymesh.errors import ConfigError, StartError
from paymesh.paths import Paths
from paymesh.runtime import control, status
from paymesh.runtime.identity import identify
from paymesh.runtime.process import Process, Spec
from paymesh.runtime.requests import Requests


def a_status() -> status.MeshStatus:
    """Of this very process, with one process below it."""
    me = identify(os.getpid())
    ledger = status.ProcessStatus("ledger-app", "ready", me, started_at=time.time() - 10)
    return status.MeshStatus("ready", me, separate_uids=True, started_at=1.0, processes=[ledger])


def test_a_status_reads_as_it_was_written(paths: Paths) -> None:
    """Every field, and nobody else may read it."""
    paths.home.mkdir()
    assert status.read(paths) is None
    status.write(paths, a_status())
    found = status.read(paths)
    assert found is not None
    assert (found.state, found.is_alive()) == ("ready", True)
    assert found.process("ledger-app") == found.processes[0]
    assert found.process("other") is None
    assert stat.S_IMODE(paths.status_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state": "ready"}', "null"])
def test_a_damaged_status_is_none(paths: Paths, text: str) -> None:
    """A file of another version or cut off by a full disk keeps nobody from starting."""
    paths.home.mkdir()
    paths.status_file.write_text(text)
    assert status.read(paths) is None


def test_what_programs_read_is_flat() -> None:
    """Seconds, not moments."""
    shown = a_status().processes[0].as_json()
    assert shown["uptime_seconds"] == pytest.approx(10, abs=2)
    assert (shown["name"], shown["pid"], shown["restarts"]) == ("ledger-app", os.getpid(), 0)


def test_without_a_mesh_there_is_a_sentence(paths: Paths) -> None:
    """What to do, not a traceback."""
    with pytest.raises(ConfigError, match="paymesh up"):
        control.stop_process(paths, "ledger-pdp")
    assert not control.is_ready(paths, "ledger-pdp")


def _asked_in_turn(paths: Paths, process: Process) -> list[tuple[str, bool]]:
    """Every kind of request; the state and whether it runs after each."""
    seen = []

    def look() -> None:
        seen.append((process.status.state, process.status.pid is not None))

    control.wait_ready(paths)
    look()
    with control.paused(paths, "thing"):
        look()
    look()
    with control.stopped(paths, "thing"):
        look()
    look()
    before = process.status.pid
    control.restart(paths, "thing")
    look()
    assert process.status.pid != before
    for request, problem in (
        (lambda: control.stop_process(paths, "other"), "no process 'other'"),
        (lambda: control.request(paths, "explode", name="thing"), "no operation"),
        (lambda: control.request(paths, "wait"), "malformed"),
    ):
        with pytest.raises(StartError, match=problem):
            request()
    return seen


async def test_requests_are_carried_out(paths: Paths) -> None:
    """Stop, start, pause, resume, restart and wait, over the real socket."""
    paths.home.mkdir()
    process = Process(
        Spec("thing", ("/bin/sleep", "60"), paths.home, None), paths.home / "log", lambda: None
    )
    task = asyncio.create_task(process.run())
    server = await Requests({"thing": process}).listen(paths.control_socket)
    assert stat.S_IMODE(paths.control_socket.stat().st_mode) == 0o600
    try:
        seen = await asyncio.to_thread(_asked_in_turn, paths, process)
    finally:
        server.close()
        task.cancel()
        await process.end()
        await asyncio.sleep(0.05)  # lets the handlers end
    ready, paused, stopped = ("ready", True), ("paused", True), ("stopped", False)
    assert seen == [ready, paused, ready, stopped, ready, ready]


def test_the_home_is_found_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A request goes to the mesh that PAYMESH_HOME names and to no other."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    from paymesh.paths import default_paths  # noqa: PLC0415

    assert default_paths().control_socket == tmp_path / "control.sock"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"state": "ok"}'])
def test_what_became_of_the_policy_is_read_with_care(paths: Paths, text: str) -> None:
    """Before the first attempt, or after somebody damaged the file, nothing is known."""
    assert status.read_policy(paths) is None
    paths.home.mkdir()
    assert status.read_policy(paths) is None
    paths.policy_status.write_text(text)
    assert status.read_policy(paths) is None


def test_what_became_of_the_policy_is_read_as_it_was_written(paths: Paths) -> None:
    """State, revision, problem and time; what a later version adds is left out."""
    written = {"state": "refused", "revision": None, "problem": "no", "time": "now"}
    paths.home.mkdir()
    paths.policy_status.write_text(json.dumps({**written, "more": 1}))
    assert status.read_policy(paths) == written
