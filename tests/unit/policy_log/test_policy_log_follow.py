"""What is written from now on, whatever happens to the files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paymesh.errors import ConfigError
from paymesh.policy.log import files
from paymesh.policy.log.follow import Follower
from paymesh.policy.log.merge import Reader
from paymesh.policy.log.records import Damage
from paymesh.policy.log.selection import Selection
from unit.policy_log.policy_log_records import NOON, SECOND, line, rotated_name, write


class _Log:
    """A decision point's log as its writer treats it."""

    def __init__(self, run: Path, workload: str = "ledger") -> None:
        self.path = write(run, workload, [])
        self._written = 0

    def write(self, *ids: str) -> None:
        """Appends records."""
        for decision_id in ids:
            self._written += 1
            moment = NOON + self._written * SECOND
            self.append(line(moment, decision_id=decision_id) + b"\n")

    def append(self, data: bytes) -> None:
        """Appends bytes; a log that is not there is begun."""
        with self.path.open("ab") as file:
            file.write(data)

    def rotate(self) -> None:
        """Gives the log its other name; the next write begins a new one."""
        self._written += 1
        self.path.rename(self.path.with_name(rotated_name(NOON + self._written * SECOND)))


class _Watcher:
    """A follower and what it has found."""

    def __init__(self, run: Path, workload: str | None = None) -> None:
        self.damage: list[Damage] = []
        self.reader = Reader(Selection(), self.damage.append)
        self.follower = Follower(run, workload)

    def before(self) -> list[str]:
        """Ids of what there was at the start."""
        entries = self.reader.oldest_first(self.follower.chains)
        return [entry.record["decision_id"] for entry in entries]

    def new(self) -> list[str]:
        """Ids of what came since the last look."""
        return [entry.record["decision_id"] for entry in self.follower.poll(self.reader)]


@pytest.fixture
def log(tmp_path: Path) -> _Log:
    """One workload's log with two records."""
    found = _Log(tmp_path)
    found.write("one", "two")
    return found


@pytest.fixture
def watcher(log: _Log) -> Iterator[_Watcher]:
    """Follows it from here."""
    found = _Watcher(log.path.parents[1])
    with found.follower:
        yield found


def test_every_record_is_either_before_or_new(log: _Log, watcher: _Watcher) -> None:
    """What is written between opening and reading is not lost and not shown twice."""
    log.write("three")
    assert watcher.before() == ["one", "two"]
    assert watcher.new() == ["three"]
    assert watcher.new() == []


def test_a_record_is_shown_when_its_last_byte_is_written(log: _Log, watcher: _Watcher) -> None:
    """A part of a line is waited for, byte by byte, and called neither cut nor record."""
    whole = line(NOON, decision_id="slow") + b"\n"
    for byte in whole[:-1]:
        log.append(bytes([byte]))
        assert watcher.new() == []
    log.append(whole[-1:])
    assert watcher.new() == ["slow"]
    assert watcher.damage == []


def test_following_begins_at_the_beginning_of_a_line(log: _Log, tmp_path: Path) -> None:
    """A record that is half written at the start is shown whole, once."""
    whole = line(NOON, decision_id="half") + b"\n"
    log.append(whole[:30])
    watcher = _Watcher(tmp_path)
    with watcher.follower:
        assert watcher.before() == ["one", "two"]
        log.append(whole[30:])
        assert watcher.new() == ["half"]
        assert watcher.damage == []


def test_rotation_loses_nothing_and_repeats_nothing(log: _Log, watcher: _Watcher) -> None:
    """Records before, between and after rotations, several between two looks."""
    log.write("a")
    log.rotate()
    assert watcher.new() == ["a"]
    log.write("b")
    log.rotate()
    log.write("c")
    log.rotate()
    log.write("d", "e")
    log.rotate()
    log.write("f")
    assert watcher.new() == ["b", "c", "d", "e", "f"]
    log.rotate()
    assert watcher.new() == []
    log.write("g")
    assert watcher.new() == ["g"]
    assert watcher.damage == []


def test_a_decision_point_that_was_killed_and_came_back_is_followed_on(
    log: _Log, watcher: _Watcher
) -> None:
    """It ends the cut line and goes on in the same file: the cut record is named once."""
    cut = line(NOON, decision_id="cut")[:40]
    log.append(cut)
    assert watcher.new() == []
    assert watcher.damage == []
    log.append(b"\n")
    log.write("after")
    assert watcher.new() == ["after"]
    assert [(found.size, found.cut) for found in watcher.damage] == [(40, True)]


def test_a_cut_record_at_the_end_of_a_rotated_log_is_named(log: _Log, watcher: _Watcher) -> None:
    """Nobody writes to that file any more, so it is certain."""
    log.append(line(NOON)[:40])
    log.rotate()
    log.write("after")
    assert watcher.new() == ["after"]
    assert [found.size for found in watcher.damage] == [40]


def test_a_log_that_is_removed_is_begun_anew(log: _Log, watcher: _Watcher) -> None:
    """Its last records are still read, and those of the next file of its name."""
    log.write("last")
    log.path.unlink()
    assert watcher.new() == ["last"]
    assert watcher.new() == []
    log.write("first")
    assert watcher.new() == ["first"]


def test_a_log_that_is_emptied_in_place_is_read_from_its_beginning(
    log: _Log, watcher: _Watcher
) -> None:
    """As `truncate` leaves it."""
    log.path.write_bytes(b"")
    assert watcher.new() == []
    log.write("again")
    assert watcher.new() == ["again"]


def test_workloads_that_appear_are_followed_from_their_first_record(
    watcher: _Watcher, tmp_path: Path
) -> None:
    """A directory made later, with a log or before it, is looked at too."""
    (tmp_path / "refunds").mkdir()
    assert watcher.new() == []
    other = _Log(tmp_path, "refunds")
    other.write("x")
    other.rotate()
    other.write("y")
    assert watcher.new() == ["x", "y"]


def test_one_workload_alone_can_be_followed(log: _Log, tmp_path: Path) -> None:
    """Others, new or not, are left alone."""
    other = _Log(tmp_path, "payments")
    watcher = _Watcher(tmp_path, "payments")
    with watcher.follower:
        log.write("no")
        other.write("yes")
        assert watcher.new() == ["yes"]


def test_a_batch_is_in_order_of_time(watcher: _Watcher, log: _Log, tmp_path: Path) -> None:
    """Records of several workloads that are found together are put in order."""
    other = _Log(tmp_path, "bank-link")
    other.append(line(NOON + 50 * SECOND, decision_id="late") + b"\n")
    log.append(line(NOON + 49 * SECOND, decision_id="early") + b"\n")
    assert watcher.new() == ["early", "late"]


def test_changes_are_noticed(watcher: _Watcher, log: _Log, tmp_path: Path) -> None:
    """A write, a rotation and a new workload all come up, in their order."""
    found: list[str] = []
    seen = threading.Semaphore(0)

    def collect() -> None:
        for batch in watcher.follower.batches(watcher.reader):
            for entry in batch:
                found.append(entry.record["decision_id"])
                seen.release()
            if "end" in found:
                return

    thread = threading.Thread(target=collect, daemon=True)
    log.write("a")
    thread.start()
    assert seen.acquire(timeout=30)
    log.write("b")
    assert seen.acquire(timeout=30)
    log.rotate()
    log.write("c")
    assert seen.acquire(timeout=30)
    other = _Log(tmp_path, "payments")
    other.write("end")
    assert seen.acquire(timeout=30)
    thread.join(timeout=30)
    assert found == ["a", "b", "c", "end"]


def test_a_home_that_is_purged_ends_it_with_a_sentence(
    watcher: _Watcher, log: _Log, tmp_path: Path
) -> None:
    """Nothing will ever be logged there again under the same directory."""
    batches = watcher.follower.batches(watcher.reader)
    next(batches)
    log.path.unlink()
    (tmp_path / "ledger").rmdir()
    tmp_path.rmdir()
    with pytest.raises(ConfigError, match="was removed"):
        for _ in batches:
            pass


def test_the_name_of_a_rotated_log_is_its_time() -> None:
    """Names are in order as times are, and only such names count."""
    name = rotated_name(NOON + 5)
    assert name == "decisions.jsonl.20261121T101530.000000005Z"
    assert files.rotation(name) == NOON + 5
    assert files.rotation("decisions.jsonl") is None
