"""What is no record is passed over and named, and costs no record beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymesh.policy.log import files, lines
from paymesh.policy.log.merge import Reader
from paymesh.policy.log.records import Damage, parse
from paymesh.policy.log.selection import Selection
from unit.policy_log.policy_log_records import NOON, SECOND, chains, line, read, write

BEFORE, LAST, AFTER = line(NOON), line(NOON + SECOND), line(NOON + 2 * SECOND)


def _file(run: Path, content: bytes) -> Path:
    path = write(run, "ledger", [])
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("selection", [Selection(), Selection(grant="other")], ids=["all", "none"])
def test_a_record_cut_at_any_byte_is_named_and_nothing_else_is_lost(
    tmp_path: Path, selection: Selection, *, backwards: bool
) -> None:
    """Killed at any moment: the records around are read, the cut one has place and length."""
    offset = len(BEFORE) + 1
    for length in range(1, len(LAST)):
        cut = LAST[:length]
        for content in (
            BEFORE + b"\n" + cut,  # the decision point never came back
            BEFORE + b"\n" + cut + b"\n" + AFTER + b"\n",  # it did, and ended the line
            BEFORE + b"\n" + cut + AFTER + b"\n",  # somebody else did not
        ):
            path = _file(tmp_path, content)
            entries, damage = read(tmp_path, selection, backwards=backwards)
            kept = {entry.line for entry in entries}
            expected = {BEFORE, AFTER} if AFTER in content else {BEFORE}
            assert kept == (expected if selection == Selection() else set()), length
            assert [(d.file.path, d.offset, d.size, d.cut) for d in damage] == [
                (path, offset, length, True)
            ], (length, content)


def test_a_record_without_its_newline_is_a_record(tmp_path: Path) -> None:
    """All of it is there: only the byte that would have ended the line is not."""
    _file(tmp_path, BEFORE + b"\n" + LAST)
    entries, damage = read(tmp_path)
    assert [entry.line for entry in entries] == [BEFORE, LAST]
    assert damage == []


@pytest.mark.parametrize("backwards", [False, True])
def test_a_record_that_is_being_written_is_not_called_cut(
    tmp_path: Path, *, backwards: bool
) -> None:
    """While its writer lives, the end of a live log may be anything."""
    _file(tmp_path, BEFORE + b"\n" + LAST[:50])
    damage: list[Damage] = []
    reader = Reader(Selection(), damage.append)
    chain = files.chain(tmp_path / "ledger", lambda *_: True)
    read_all = reader.newest_first if backwards else reader.oldest_first
    assert [entry.line for entry in read_all([chain])] == [BEFORE]
    assert damage == []


def test_a_writer_is_asked_about_with_the_time_of_the_last_write(tmp_path: Path) -> None:
    """A decision point that was started after it did not begin the line."""
    path = _file(tmp_path, LAST[:50])
    asked = []
    files.chain(tmp_path / "ledger", lambda *question: bool(asked.append(question)))
    assert asked == [("ledger", path.stat().st_mtime)]


GARBAGE = [
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"\x00\x00\x00",
    b"\xff\xfe",
    b'{"decision_id":1,"time":"2026-11-21T10:15:30Z"}',
    b'{"decision_id":"x","time":"yesterday"}',
    b'{"decision_id":"x","time":"2026-13-21T10:15:30Z"}',
    b'{"decision_id":"x"}',
    b"[" * 100_000,
    b'{"decision_id":"x","time":' + b"9" * 5000 + b"}",
    BEFORE.replace(b'"reason"', b'"reas\x00n"'),
    BEFORE.replace(b":false", b":fal", 1),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_whatever_is_no_record_is_named(tmp_path: Path, garbage: bytes) -> None:
    """JSON of another kind, zeros of a crashed disk, a flipped byte: the rest is read."""
    _file(tmp_path, BEFORE + b"\n" + garbage + b"\n" + AFTER + b"\n")
    entries, damage = read(tmp_path)
    assert [entry.line for entry in entries] == [BEFORE, AFTER]
    assert [(found.offset, found.size) for found in damage] == [(len(BEFORE) + 1, len(garbage))]


def test_a_line_without_end_costs_no_memory_and_no_record(tmp_path: Path) -> None:
    """Megabytes of zeros with a record behind them are named, and the record is kept."""
    zeros = b"\0" * (3 * lines.LONGEST_LINE_BYTES)
    _file(tmp_path, BEFORE + b"\n" + zeros + AFTER + b"\n")
    for backwards in (False, True):
        entries, damage = read(tmp_path, backwards=backwards)
        assert {entry.line for entry in entries} == {BEFORE, AFTER}
        assert [(found.size, found.cut) for found in damage] == [(len(zeros), False)]


@given(content=st.binary(max_size=300), place=st.integers(0, len(LAST)))
def test_nothing_in_a_log_makes_the_reader_fail(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int
) -> None:
    """Any bytes in any place: what is read is records, and every byte is accounted for."""
    run = tmp_path_factory.mktemp("run")
    whole = LAST[:place] + content + LAST[place:] + b"\n" + AFTER + b"\n"
    _file(run, whole)
    entries, damage = read(run)
    assert AFTER in {entry.line for entry in entries}
    assert all(parse(entry.line) == json.loads(entry.line) for entry in entries)
    named = sum(len(entry.line) for entry in entries) + sum(found.size for found in damage)
    assert named == len(whole) - whole.count(b"\n")


def test_chains_of_a_home_that_was_never_up_are_none(tmp_path: Path) -> None:
    """No directory, no logs, no error."""
    assert chains(tmp_path / "missing") == []
