"""An arm of `paymesh attack-paths` leaves nothing behind, however its run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paymesh.attack.arms import running
from paymesh.attack.model import Arm
from paymesh.runtime import ports

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an arm")

_PROGRAM = """
import sys
from paymesh.attack.arms import running
with running(sys.argv[1], progress=lambda text: print(text, flush=True)) as stage:
    sys.stdin.read()
"""


def _processes(place: Path) -> list[str]:
    """Command lines of processes that have to do with a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parts = [(process / name).read_bytes() for name in ("cmdline", "environ")]
            where = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(place).encode() in b"".join(parts) or where.startswith(str(place)):
            found.append(parts[0].replace(b"\0", b" ").decode(errors="replace"))
    return found


def _until_gone(place: Path) -> None:
    """A killed process is there for a moment longer."""
    deadline = time.monotonic() + 15
    while left := _processes(place):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert not place.exists()


class _Run:
    """A program of its own that runs an arm."""

    def __init__(self, arm: Arm) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, arm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, text: str) -> str:
        """Reads to the first line that has `text` in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(self.process.communicate()[1])

    def place(self) -> Path:
        """The directory that it makes; the first line that it writes."""
        return Path(self.until("copying the checkout to ").split()[-1]).parent

    def end(self) -> None:
        """Whatever the test has made of it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def run() -> Iterator[_Run]:
    """Arm B, as another program runs it."""
    found = _Run("B")
    try:
        yield found
    finally:
        found.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_was_begun(run: _Run, number: signal.Signals) -> None:
    """Ctrl-C, or being told to end, while the arm comes up: nothing of it is left."""
    place = run.place()
    run.until("is ready")
    run.process.send_signal(number)
    run.process.wait(60)
    _until_gone(place)


def test_the_next_run_takes_away_what_a_killed_one_left_and_leaves_nothing(run: _Run) -> None:
    """A run that was killed leaves its mesh; the next arm ends and removes it, comes up beside
    it, has its databases' ports open, and at its end has removed everything of its own.
    """
    killed = run.place()
    run.until("planting")
    run.process.kill()
    run.process.wait(10)
    assert any("supervisor" in line for line in _processes(killed)), "there is something to end"
    with running("A") as stage:
        _until_gone(killed)
        place, mesh = stage.root.parent, stage.mesh
        listening = [*ports.needed(mesh), *(port for _, port in stage.databases.values())]
        assert not any(ports.is_free(mesh.address, port) for port in listening)
        assert any("relay/program.py" in line for line in _processes(place))
    assert _processes(place) == []
    assert not place.exists()
    assert all(ports.is_free(mesh.address, port) for port in listening)
