"""What a workload plants in its own directory: it is named, and hides no other's decisions."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paymesh.cli.main import _app
from paymesh.errors import ConfigError
from paymesh.paths import Paths
from paymesh.policy import replay
from paymesh.policy.log import files, find
from paymesh.policy.log.follow import Follower
from paymesh.policy.log.merge import Reader
from paymesh.policy.log.records import Damage
from paymesh.policy.log.selection import Selection
from unit.policy_log.policy_log_records import NOON, SECOND, chains, line, read, rotated_name, write


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 43)


def _socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # its whole path is longer than a socket's may be
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


_PLANTED: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to(path.parent.parent / "ledger" / files.NAME),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "directory": Path.mkdir,
    "socket": _socket,
    "holes": _sparse,
}
_NAMES = [files.NAME, rotated_name(NOON + 3600 * SECOND)]
pytestmark = pytest.mark.timeout(20)


@pytest.fixture(params=_PLANTED)
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """Plants something under a name in payments' directory, beside the ledger's log."""
    write(tmp_path / "run", "ledger", [line(decision_id="of-the-ledger")])
    (tmp_path / "run" / "payments").mkdir()

    def plant(name: str) -> Path:
        path = tmp_path / "run" / "payments" / name
        _PLANTED[request.param](path)
        return path

    return plant


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", _NAMES)
def test_what_is_no_log_is_named_and_passed_over(
    planted: Callable[[str], Path], tmp_path: Path, name: str, *, backwards: bool
) -> None:
    """Nothing waits for a pipe, follows a link, or reads what has no end."""
    path = planted(name)
    entries, damage = read(tmp_path / "run", backwards=backwards)
    assert [entry.record["decision_id"] for entry in entries] == ["of-the-ledger"]
    (found,) = damage
    assert found.file.path == path
    assert "nothing of it is read" in str(found)


@pytest.mark.parametrize("name", _NAMES)
def test_a_decision_is_found_beside_what_is_no_log(
    planted: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """`explain` of a decision looks through all files."""
    planted(name)
    found = find.find("of-the-ledger", chains(tmp_path / "run"))
    assert found.workload == "ledger"
    with pytest.raises(ConfigError, match="no decision log has"):
        find.find("of-nobody", chains(tmp_path / "run"))


@pytest.mark.parametrize("name", _NAMES)
def test_replay_is_given_logs_alone(
    planted: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """What is none is reported instead."""
    path = planted(name)
    said: list[Damage] = []
    found = replay.log_files(Paths(tmp_path, tmp_path / "cache"), report=said.append)
    assert [file.workload for file in found] == ["ledger"]
    assert [damage.file.path for damage in said] == [path]


@pytest.mark.parametrize("name", _NAMES)
def test_following_goes_on_beside_what_is_no_log(
    planted: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """Whether it was there before or comes meanwhile, it is named once; a log that takes its
    place is read.
    """
    said: list[Damage] = []
    reader = Reader(Selection(), said.append)
    log = tmp_path / "run" / "ledger" / files.NAME
    with Follower(tmp_path / "run", None) as follower:
        assert len(list(reader.oldest_first(follower.chains))) == 1
        path = planted(name)
        with log.open("ab") as file:
            file.write(line(decision_id="next") + b"\n")
        found = [entry.record["decision_id"] for _ in range(3) for entry in follower.poll(reader)]
        assert found == ["next"]
        assert {damage.file.path for damage in said} <= {path}
        assert len(said) <= 1
        assert said or name != files.NAME
    said.clear()
    with Follower(tmp_path / "run", None) as follower:
        list(reader.oldest_first(follower.chains))
        assert follower.poll(reader) == follower.poll(reader) == []
        assert [damage.file.path for damage in said] == [path]
        path.rmdir() if path.is_dir() else path.unlink()
        write(tmp_path / "run", "payments", [line(decision_id="of-payments")])
        assert [entry.record["decision_id"] for entry in follower.poll(reader)] == ["of-payments"]


def test_a_log_that_becomes_endless_is_named(tmp_path: Path) -> None:
    """While it is followed, so that it delays nobody."""
    log = write(tmp_path, "payments", [line()])
    said: list[Damage] = []
    reader = Reader(Selection(), said.append)
    with Follower(tmp_path, None) as follower:
        list(reader.oldest_first(follower.chains))
        _sparse(log)
        assert follower.poll(reader) == follower.poll(reader) == []
    assert [str(damage) for damage in said] == [f"{log} consists of holes: nothing of it is read"]


_ODD_LINES = {
    "NUL": b"\0" * 40,
    "NUL in a record": line(caller="\0"),
    "NUL before a record": b"\0" * 9 + line(decision_id="behind-it"),
    "no UTF-8": line(caller="X").replace(b"X", b"\xff\xfe"),
    "half a character": line(caller="X").replace(b"X", b"\xed\xa0\x80"),
    "UTF-16": line().decode().encode("utf-16-le"),
    "half a pair": line(caller="X").replace(b"X", b"\\ud800"),
    "deep": b"[" * 200_000,
    "year 1": line(time="0001-01-01T00:00:00+23:59"),
    "year 9999": line(time="9999-12-31T23:59:59-23:59"),
    "no text": line(caller=7, rpc=["x"], reason={}, user="x", token=3, grant=[]),
}


@pytest.mark.parametrize("odd", _ODD_LINES.values(), ids=_ODD_LINES)
@pytest.mark.parametrize("output", ["table", "json"])
def test_odd_bytes_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: bytes, output: str
) -> None:
    """A NUL, what is no UTF-8 or no time: every other decision is shown and can be explained."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    write(tmp_path / "run", "ledger", [line(decision_id="the-first"), odd])
    write(tmp_path / "run", "payments", [line(NOON + SECOND, decision_id="the-second")])
    done = CliRunner().invoke(_app, ["policy", "log", "-o", output])
    assert (done.exit_code, done.exception) == (0, None)
    assert "the-firs" in done.stdout
    assert "the-seco" in done.stdout
    assert "\0" not in done.stdout
    explained = CliRunner().invoke(_app, ["policy", "explain", "no-such-decision"])
    assert isinstance(explained.exception, ConfigError)


@pytest.mark.parametrize("text", ["\0" * 9, "\udcff" * 9, '"' * 9, "{" * 9])
@pytest.mark.parametrize(
    "arguments", [["explain"], ["log", "--id"], ["log", "--caller"], ["log", "--rpc"]]
)
def test_odd_arguments_find_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, arguments: list[str]
) -> None:
    """They are looked for like others, and nothing breaks."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    write(tmp_path / "run", "ledger", [line()])
    done = CliRunner().invoke(_app, ["policy", *arguments, text])
    assert done.exception is None or isinstance(done.exception, ConfigError)
    assert "RefundPayment" not in done.output
