"""Lines of a file, whatever it holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymesh.policy.log import lines
from unit.policy_log.policy_log_records import NOON, SECOND, line, write

_CONTENT = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\0" * 9, b"x" * 40]), max_size=40)


@pytest.fixture
def handle(tmp_path: Path):
    """A file to write into and its descriptor."""
    path = tmp_path / "file"
    path.touch()
    found = os.open(path, os.O_RDWR)
    yield found
    os.close(found)


@given(pieces=_CONTENT, block=st.integers(1, 50), longest=st.integers(1, 60))
def test_both_directions_find_the_same_lines_and_lose_no_byte(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], block: int, longest: int
) -> None:
    """Forwards and backwards are each other's mirror, and sizes and newlines make up the file."""
    content = b"".join(pieces)
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(lines, "BLOCK_BYTES", block)
        patch.setattr(lines, "LONGEST_LINE_BYTES", longest)
        forwards = list(lines.forwards(file.fileno(), 0, len(content)))
        backwards = list(lines.backwards(file.fileno(), 0, len(content)))
    assert [(x.offset, x.size, x.ended) for x in forwards] == [
        (x.offset, x.size, x.ended) for x in reversed(backwards)
    ]
    assert sum(found.size + found.ended for found in forwards) == len(content)
    for found in (*forwards, *backwards):
        whole = content[found.offset : found.offset + found.size]
        assert whole.endswith(found.data) or found.size > longest
        assert found.data == whole or found.size > longest
        assert len(found.data) <= longest + block


def test_a_file_that_is_shorter_than_it_was_ends_quietly(handle: int) -> None:
    """Somebody may empty a log while it is read: what is gone is not waited for."""
    os.write(handle, b"one\ntwo\n")
    assert [found.data for found in lines.forwards(handle, 0, 1000)] == [b"one", b"two"]
    assert list(lines.backwards(handle, 0, 1000)) == []


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_a_moment_is_found_between_the_lines_before_and_after_it(
    tmp_path: Path, count: int
) -> None:
    """Before the first offset everything is earlier; from the second on nothing is."""
    written = [line(NOON + i * SECOND) for i in range(count)]
    path = write(tmp_path, "ledger", written)
    begins = [sum(len(x) + 1 for x in written[:i]) for i in range(count + 1)]
    with path.open("rb") as file:
        for place in {0, 1, count // 2, count - 1, count, count + 5}:
            moment = NOON + place * SECOND
            low, high = lines.around(file.fileno(), path.stat().st_size, moment)
            true_place = begins[min(max(place, 0), count)]
            assert low <= true_place <= high
            assert {low, high} <= set(begins)
            assert high - low <= 64 << 10 or count < 200


def test_a_moment_is_found_beside_damage(tmp_path: Path) -> None:
    """A megabyte of zeros in the middle makes the answer wider, never wrong."""
    written = [line(NOON + i * SECOND) for i in range(600)]
    written.insert(300, b"\0" * (1 << 20))
    path = write(tmp_path, "ledger", written)
    with path.open("rb") as file:
        for place in range(0, 600, 37):
            low, high = lines.around(file.fileno(), path.stat().st_size, NOON + place * SECOND)
            index = place + (place > 299)
            true_place = sum(len(x) + 1 for x in written[:index])
            assert low <= true_place <= high
