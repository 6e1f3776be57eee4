"""What apps log is found, all of it, and an agent that does not come to its end is noticed."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_callee import OK, Callee, serving
from probe_stage import MESH, FakeStage, ground

from paymesh.attack.model import Target
from paymesh.attack.perimeter import Perimeter
from paymesh.attack.probe import measure, protobuf
from paymesh.attack.probe.agent.plan import Plan
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.evidence import AppLog
from paymesh.paths import Paths
from paymesh.runtime import logs

TARGET = Target("ledger", OK)


class App:
    """The ledger's app as far as its log goes."""

    def __init__(self, home: Path) -> None:
        self.ground = ground(home)
        self.path = self.ground.paths.log("ledger-app")
        self.path.parent.mkdir()
        self.path.touch()
        self.socket = self.ground.paths.workload("ledger") / "app.sock"
        self.socket.parent.mkdir(parents=True)

    def write(self, rpc: str, trace_id: str, code: str = "OK") -> None:
        """A line in the log."""
        line = {"event": "call", "rpc": rpc, "code": code, "trace_id": trace_id}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture(name="app")
def running_app(tmp_path: Path) -> Iterator[App]:
    """It serves on its socket, and logs each call."""
    app = App(tmp_path)
    with serving(f"unix:{app.socket}", Callee(note=app.write)):
        yield app


def test_lines_are_found_by_trace_id(app: App) -> None:
    """Calls before the log was opened are not looked at, those after it are, by trace."""
    app.write(OK, "before")
    log = AppLog(app.ground, "ledger", OK)
    app.write(OK, "after")
    app.write(OK, "after", "NOT_FOUND")
    log.read_until(lambda: True)
    assert not log.lines("before")
    assert [(line.target, line.code) for line in log.lines("after")] == [
        (TARGET, "OK"),
        (TARGET, "NOT_FOUND"),
    ]


def test_lines_are_found_through_a_rotation(app: App) -> None:
    """A log that was copied away and emptied meanwhile has lost nothing."""
    log = AppLog(app.ground, "ledger", OK)
    for number in range(50):
        app.write(OK, f"old {number}")
    assert logs.rotate(app.path, max_bytes=1)
    app.write(OK, "new")
    log.read_until(lambda: True)
    assert all(log.lines(f"old {number}") for number in range(50))
    assert log.lines("new")


def test_a_line_that_comes_late_is_waited_for(app: App) -> None:
    """What is known to be under way is read before the log counts as read."""
    log = AppLog(app.ground, "ledger", OK)
    asked = []

    def is_there() -> bool:
        asked.append(True)
        if len(asked) == 3:
            app.write(OK, "late")
        return bool(log.lines("late"))

    log.read_until(is_there)
    assert log.lines("late")


def test_an_app_that_logs_nothing_makes_the_measurement_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mark in the log nothing that is missing there proves anything."""
    monkeypatch.setattr("paymesh.attack.probe.evidence._SECONDS", 0.2)
    app = App(tmp_path)
    with (
        serving(f"unix:{app.socket}", Callee()),
        pytest.raises(ProbeError, match="does not log its calls"),
    ):
        AppLog(app.ground, "ledger", OK).read_until(lambda: True)


PLAN: Plan = {"certificates": {}, "headers": {}, "conversations": [], "errands": []}


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (subprocess.CompletedProcess([], 1, b"", b"Traceback\nKeyError: 'x'\n"), "exited with 1"),
        (subprocess.CompletedProcess([], -9, b"", b""), "exited with -9"),
        (subprocess.CompletedProcess([], 0, b'{"results": [', b""), "nothing readable"),
        (subprocess.TimeoutExpired([], 1), "did not end"),
        (subprocess.CompletedProcess([], 0, b'{"results": []}', b""), "not about what was planned"),
    ],
    ids=["error", "killed", "cut short", "hangs", "leaves out"],
)
def test_an_agent_that_does_not_do_its_work_is_never_read_as_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: object, said: str
) -> None:
    """Whatever ends it, there is no report and so no graph."""

    def run_at(*_: object, **__: object) -> object:
        if isinstance(ended, Exception):
            raise ended
        return ended

    monkeypatch.setattr(measure, "run_at", run_at)
    where = ground(tmp_path)
    walls = Perimeter({}, MESH.address, 18443)
    measurement = measure.Measurement(where.stage, walls, lambda _: None)
    with pytest.raises(ProbeError, match=said):
        measurement.tried_at(where, measure.every_canary(where), "operator")


def test_secrets_reach_an_agent_by_its_standard_input_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither arguments nor environment of the program hold one."""
    seen = []

    def run_at(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.append((arguments, options))
        return subprocess.CompletedProcess([], 1, b"", b"")

    monkeypatch.setattr(measure, "run_at", run_at)
    where = ground(tmp_path)
    measurement = measure.Measurement(
        where.stage, Perimeter({}, MESH.address, 18443), lambda _: None
    )
    with pytest.raises(ProbeError):
        measurement.tried_at(where, measure.every_canary(where), "inside")
    ((arguments, options),) = seen
    assert b"token of alice" in options.pop("stdin")
    assert "token of" not in repr((arguments, options))


def test_a_stage_shows_no_secret() -> None:
    """What is made of a stage can be printed."""
    stage = FakeStage(Paths(Path("/nowhere"), Path("/nowhere")))
    assert "token of" not in repr(stage)


@given(st.lists(st.tuples(st.integers(1, 2000), st.binary(max_size=300))))
def test_fields_that_were_written_are_read(wanted: list[tuple[int, bytes]]) -> None:
    """Reading what was written gives the same fields in the same order, integers left out."""
    message = b"".join(
        protobuf.integer(7, number) + protobuf.text(number, content) for number, content in wanted
    )
    assert list(protobuf.fields(message)) == wanted


@given(st.binary(max_size=60))
def test_what_is_no_message_is_no_message(message: bytes) -> None:
    """Any bytes at all are read or refused in words of the module's own."""
    with contextlib.suppress(ValueError):
        list(protobuf.fields(message))
