"""All workloads' records in order of time, from either end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from paymesh.errors import ConfigError
from paymesh.policy.log import files, find, merge
from paymesh.policy.log.selection import Selection
from unit.policy_log.policy_log_records import (
    NOON,
    SECOND,
    chains,
    line,
    read,
    record,
    rotated_name,
    write,
)


def _logs(run: Path, seed: int = 1) -> list[int]:
    """Three workloads, each with rotated files, neighbours out of order by up to a second."""
    chance, times = random.Random(seed), []  # noqa: S311 - for a test
    for workload in ("bank-link", "ledger", "payments"):
        for part in range(3):
            begin = NOON + part * 100 * SECOND
            mine = [begin + chance.randrange(98 * SECOND) for _ in range(40)]
            mine.sort(key=lambda t: t + chance.randrange(SECOND))
            times += mine
            name = rotated_name(begin + 99 * SECOND) if part < 2 else files.NAME
            write(run, workload, [line(t) for t in mine], name)
    return sorted(times)


def test_records_of_all_workloads_come_in_order_of_time(tmp_path: Path) -> None:
    """Rotated and live files of every workload are one sequence, from either end."""
    times = _logs(tmp_path)
    assert [entry.time_ns for entry in read(tmp_path)[0]] == times
    assert [entry.time_ns for entry in read(tmp_path, backwards=True)[0]] == times[::-1]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("since", [None, -5, 0, 50, 99, 150, 250, 400])
@pytest.mark.parametrize("until", [None, -5, 1, 99, 199, 201, 400])
def test_a_window_of_time_has_exactly_its_records(
    tmp_path: Path, since: int | None, until: int | None, *, backwards: bool
) -> None:
    """`since` is the first moment that is wanted, `until` the first that is not."""
    times = _logs(tmp_path)
    since_ns = None if since is None else NOON + since * SECOND
    until_ns = None if until is None else NOON + until * SECOND
    found, _ = read(tmp_path, backwards=backwards, since_ns=since_ns, until_ns=until_ns)
    expected = [
        t
        for t in times
        if (since_ns is None or t >= since_ns) and (until_ns is None or t < until_ns)
    ]
    assert sorted(entry.time_ns for entry in found) == expected


def test_a_file_that_was_rotated_before_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year of old logs costs nothing when the last ten minutes are asked for."""
    _logs(tmp_path)
    names = []
    original = merge.opened
    monkeypatch.setattr(
        merge, "opened", lambda file: names.append(file.path.name) or original(file)
    )
    read(tmp_path, since_ns=NOON + 200 * SECOND)
    assert names == [files.NAME] * 3


def test_a_log_that_is_rotated_between_listing_and_reading_is_found_by_its_inode(
    tmp_path: Path,
) -> None:
    """The file that was listed is read under its new name, the new one of its name is not."""
    path = write(tmp_path, "ledger", [line(NOON)])
    listed = chains(tmp_path)
    path.rename(path.with_name(rotated_name(NOON + SECOND)))
    write(tmp_path, "ledger", [line(NOON + 2 * SECOND)])
    reader = merge.Reader(Selection(), lambda _: None)
    assert [entry.time_ns for entry in reader.oldest_first(listed)] == [NOON]
    path.unlink()
    path.with_name(rotated_name(NOON + SECOND)).unlink()
    assert list(reader.newest_first(listed)) == []


def test_other_files_of_a_workload_are_no_logs(tmp_path: Path) -> None:
    """Only the live log's name and that name with a time in UTC count."""
    write(tmp_path, "ledger", [line(NOON)])
    for name in ("decisions.jsonl.1", "decisions.jsonl.bak", "decisions.jsonl.20261399T000000Z"):
        write(tmp_path, "ledger", [line(NOON)], name)
    (tmp_path / "postgres").mkdir()
    assert files.workloads(tmp_path) == ["ledger"]
    assert len(read(tmp_path)[0]) == 1


def test_somebody_without_rights_is_told_whose_the_logs_are(tmp_path: Path) -> None:
    """The sentence names the file and says as whom to run it."""
    error = files.forbidden(PermissionError(13, "Permission denied", str(tmp_path / "ledger")))
    assert isinstance(error, ConfigError)
    assert f"{tmp_path}/ledger" in str(error)
    assert "root" in str(error)


def test_a_decision_is_found_by_its_id_or_the_beginning_of_it(tmp_path: Path) -> None:
    """Whole or not, in whatever file it stands, also across the blocks that are read."""
    ids = [f"{i:08x}-0000-4000-8000-000000000000" for i in range(30)]
    for part, name in enumerate((rotated_name(NOON), rotated_name(NOON + SECOND), files.NAME)):
        write(tmp_path, "ledger", [line(decision_id=x) for x in ids[part::3]], name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "_BLOCK_BYTES", 61)
        for wanted in ids:
            for given in (wanted, wanted[:8], wanted[:20]):
                found = find.find(given, chains(tmp_path))
                assert found.record["decision_id"] == wanted


def test_a_beginning_that_fits_two_decisions_names_both(tmp_path: Path) -> None:
    """Nobody is shown a decision that was not meant."""
    first, second = "aaaaaaaa-1", "aaaaaaaa-2"
    write(tmp_path, "ledger", [line(decision_id=first)], rotated_name(NOON))
    write(tmp_path, "payments", [line(decision_id=second)])
    with pytest.raises(ConfigError, match=f"{first}, {second}"):
        find.find("aaaaaaaa", chains(tmp_path))
    assert find.find(first, chains(tmp_path)).workload == "ledger"


@pytest.mark.parametrize("given", ["", "abc", "abcdefg"])
def test_a_beginning_that_says_too_little_is_refused(tmp_path: Path, given: str) -> None:
    """Eight characters are the least."""
    with pytest.raises(ConfigError, match="8 characters"):
        find.find(given, chains(tmp_path))


def test_a_decision_that_nobody_made_is_not_found(tmp_path: Path) -> None:
    """Nor is one that a record only mentions."""
    other = record(NOON, rpc="12345678")
    write(tmp_path, "ledger", [line(**other)])
    with pytest.raises(ConfigError, match="no decision log has"):
        find.find("12345678", chains(tmp_path))
