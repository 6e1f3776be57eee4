"""The processes' logs: one file each, limited in size, shown and followed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

MAX_LOG_BYTES = 16 << 20
_TAIL_BYTES = 256 << 10
_POLL_SECONDS = 0.2


def rotate(path: Path, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """Moves a log that has grown too large to `<name>.1` and empties it in place.

    The process goes on writing to the same file: it was opened for appending.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except OSError:
        return False  # a full disk, say: the next round tries again
    return True


def tail(path: Path, lines: int) -> list[str]:
    """The last lines, at most 256 KiB of them; none when there is no such log."""
    if lines <= 0:
        return []
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    found = text.splitlines()
    if start > 0:
        found = found[1:]  # begins in the middle of a line
    return found[-lines:]


def follow(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Lines as they are written from now on, for ever; starts over after a rotation."""
    places = {path: _size(path) for path in paths}
    unfinished = dict.fromkeys(paths, "")
    while True:
        for path in paths:
            size = _size(path)
            if size < places[path]:
                places[path], unfinished[path] = 0, ""
            if size == places[path]:
                continue
            with path.open("rb") as file:
                file.seek(places[path])
                data = file.read(_TAIL_BYTES)
            places[path] += len(data)
            *whole, rest = (unfinished[path] + data.decode(errors="replace")).split("\n")
            unfinished[path] = rest
            for line in whole:
                yield path, line
        time.sleep(_POLL_SECONDS)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
