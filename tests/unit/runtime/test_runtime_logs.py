"""Logs that are limited, shown and followed."""

from __future__ import annotations

from pathlib import Path

from paymesh.runtime import logs


def test_a_large_log_is_emptied_in_place(tmp_path: Path) -> None:
    """Its writer, which appends, goes on in the same file; the old text is kept once."""
    path = tmp_path / "x.log"
    with path.open("a") as writer:
        writer.write("old\n" * 100)
        writer.flush()
        assert logs.rotate(path, max_bytes=50)
        writer.write("new\n")
    assert path.read_text() == "new\n"
    assert (tmp_path / "x.log.1").read_text() == "old\n" * 100


def test_a_small_or_missing_log_is_left_alone(tmp_path: Path) -> None:
    """Nothing to do, nothing done."""
    path = tmp_path / "x.log"
    assert not logs.rotate(path)
    path.write_text("text\n")
    assert not logs.rotate(path)
    assert path.read_text() == "text\n"


def test_tail_shows_the_last_lines(tmp_path: Path) -> None:
    """As many as asked for, none of them cut; bytes that are no text do not matter."""
    path = tmp_path / "x.log"
    assert logs.tail(path, 5) == []
    path.write_bytes(b"\n".join(b"line %d \xff" % number for number in range(100_000)))
    assert logs.tail(path, 2) == ["line 99998 \ufffd", "line 99999 \ufffd"]
    assert logs.tail(path, 0) == []
    assert len(logs.tail(path, 10**6)) < 100_000


def test_follow_shows_what_is_written_from_now_on(tmp_path: Path) -> None:
    """Whole lines only, in order, also after a rotation."""
    path = tmp_path / "x.log"
    path.write_text("before\n")
    lines = logs.follow([path])
    with path.open("a") as writer:
        # The first step remembers where the log ends; it needs something to return.
        writer.write("")
    places = iter(lines)
    _append_later(path)
    assert [text for _, text in (next(places), next(places))] == ["one", "two"]
    path.write_text("new\n")
    assert next(places) == (path, "new")


def _append_later(path: Path) -> None:
    import threading  # noqa: PLC0415 — only here
    import time  # noqa: PLC0415

    def write() -> None:
        time.sleep(0.3)
        with path.open("a") as writer:
            writer.write("one\ntw")
            writer.flush()
            time.sleep(0.3)
            writer.write("o\n")

    threading.Thread(target=write, daemon=True).start()
