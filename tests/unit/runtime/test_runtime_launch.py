"""A child has nothing that it does not need."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paymesh.errors import StartError
from paymesh.runtime import launch
from paymesh.runtime.accounts import Account


def shown(account: Account | None) -> dict[str, str]:
    """/proc/self/status of a child."""
    done = subprocess.run(
        launch.command(["/usr/bin/env", "cat", "/proc/self/status"], account),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line.partition(":") for line in done.stdout.splitlines())
    return {name: value.strip() for name, _, value in lines}


def test_no_child_gains_privileges() -> None:
    """no_new_privs is set whoever starts it."""
    assert shown(None)["NoNewPrivs"] == "1"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_becomes_somebody_without_anything() -> None:
    """Real, effective, saved and file-system ids, groups, and every set of capabilities."""
    status = shown(Account(4242, 4243, (4244, 4245)))
    assert status["Uid"].split() == ["4242"] * 4
    assert status["Gid"].split() == ["4243"] * 4
    assert status["Groups"].split() == ["4244", "4245"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert shown(Account(4242, 4243))["Groups"] == ""


def test_the_environment_is_minimal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the user has in his environment does not reach a child."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert launch.minimal_environment(tmp_path, {"A": "b"}) == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(tmp_path),
        "A": "b",
    }


async def test_a_tool_speaks_for_itself(tmp_path: Path) -> None:
    """Its output comes back; when it fails, its last line and its status are the sentence."""
    said = await launch.run_tool(["/bin/cat"], None, directory=tmp_path, stdin="hello")
    assert said == "hello"
    with pytest.raises(StartError, match="sh exited with 3: no such role"):
        await launch.run_tool(
            ["/bin/sh", "-c", "echo first >&2; echo no such role >&2; exit 3"],
            None,
            directory=tmp_path,
        )


async def test_a_tool_that_hangs_is_ended(tmp_path: Path) -> None:
    """After its time, with a sentence, and without being left behind."""
    with pytest.raises(StartError, match="sleep took longer"):
        await launch.run_tool(["/bin/sleep", "60"], None, directory=tmp_path, timeout_seconds=0.2)


def test_a_child_ends_with_its_parent() -> None:
    """Also when the parent is killed and can tell nobody."""
    script = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen(sys.argv[1:]); print(child.pid, flush=True); time.sleep(60)"
    )
    wrapped = launch.command(["/bin/sleep", "60"], None, death_signal="TERM")
    with subprocess.Popen(
        [sys.executable, "-c", script, *wrapped], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # setpriv asks for it after the parent has printed the number.
        _until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/bin/sleep"))
        parent.kill()
    _until(lambda: not _runs(pid))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
