"""What is written to the decision logs from now on.

A log may be rotated, removed, or begun anew by another process at any moment, and a workload
may appear: a file is known by its inode, and its name is only where the next one is looked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from paymesh.errors import ConfigError
from paymesh.policy.log import files, lines, merge
from paymesh.policy.log.files import LogFile
from paymesh.policy.log.records import Damage, Entry
from paymesh.runtime.files import IrregularFileError, open_regular

# A look is a stat for each log: cheaper than a watch that may miss what happens while it is made.
_LOOK_SECONDS = 0.2
_MOST_ROTATIONS = 100


class Follower:
    """All workloads' logs, open where they end now.

        with Follower(run, None) as follower:
            chains = follower.chains       # everything up to now
            for batch in follower.batches(reader): ...

    Args:
        run: the directory with one directory for each workload.
        workload: the only one to follow; all, also new ones, when left out.
    """

    def __init__(self, run: Path, workload: str | None) -> None:
        self._run = run
        self._workload = workload
        self._tails: dict[str, _Tail] = {}
        self.chains: list[Sequence[LogFile]] = []
        for name in self._names():
            tail = _Tail(run / name)
            self._tails[name] = tail
            self.chains.append(tail.begin())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for tail in self._tails.values():
            tail.close()

    def batches(self, reader: merge.Reader) -> Iterator[list[Entry]]:
        """Batches of wanted records, each in order of time, for ever.

        Raises:
            ConfigError: the logs' directory was removed.
            KeyboardInterrupt: as ever.
        """
        while True:
            if not self._run.is_dir():
                raise ConfigError(f"{self._run} was removed: nothing is logged there")
            yield self.poll(reader)
            time.sleep(_LOOK_SECONDS)

    def poll(self, reader: merge.Reader) -> list[Entry]:
        """What was written since the last look."""
        for name in self._names():
            if name not in self._tails:
                self._tails[name] = _Tail(self._run / name)
        found = [entry for tail in self._tails.values() for entry in tail.read(reader)]
        return sorted(found, key=lambda entry: entry.time_ns)

    def _names(self) -> list[str]:
        found = files.workloads(self._run)
        return [name for name in found if self._workload in {None, name}]


@dataclasses.dataclass
class _Open:
    """A file that is being read, up to `offset`, where a line begins."""

    file: LogFile
    handle: int
    offset: int = 0


class _Tail:
    """The end of one workload's log."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: _Open | None = None
        # The newest rotated file that was there when the open one was opened.
        self._last_rotated = ""
        # What has the log's name and is none.
        self._unfit: LogFile | None = None

    def begin(self) -> list[LogFile]:
        """Opens the live log at its end; the files up to there, the oldest first."""
        chain = files.chain(self._directory)
        self._advance()
        rotated = [file for file in chain if file.rotated_ns is not None]
        live = [file for file in chain if file.rotated_ns is None and not file.unfit]
        if [file.inode for file in live] != ([self._open.file.inode] if self._open else []):
            # Rotated or removed between the two looks.
            self.close()
            return self.begin()
        if self._open is None:
            return chain
        size = os.fstat(self._open.handle).st_size
        self._open.offset = _line_begin(self._open.handle, size)
        return [*rotated, dataclasses.replace(live[0], size=self._open.offset)]

    def read(self, reader: merge.Reader) -> Iterator[Entry]:
        """Wanted records of all lines that were finished since the last time."""
        # Whoever renames without end is read on at the next look, as the others are.
        for _ in range(_MOST_ROTATIONS):
            yield from self._drain(reader)
            if not self._was_replaced():
                return
            # Written between the look and the rename; nothing comes after that.
            yield from self._drain(reader, is_over=True)
            between = self._advance()
            if self._unfit is not None:
                reader.report(Damage(self._unfit, 0, self._unfit.size, cut=False))
            for name in between:
                yield from self._whole(name, reader)

    def close(self) -> None:
        """Gives the file back."""
        if self._open is not None:
            os.close(self._open.handle)
            self._open = None

    def _was_replaced(self) -> bool:
        """Another file has the log's name; one that has none yet is waited for."""
        try:
            state = (self._directory / files.NAME).stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        known = self._open.file if self._open is not None else self._unfit
        return (
            known is None
            or (state.st_dev, state.st_ino) != known.inode
            or files.unfit(state) != known.unfit
        )

    def _advance(self) -> list[str]:
        """Opens the file that has the log's name; names of those that came and went between."""
        before = self._open.file.inode if self._open else None
        self.close()
        self._open_live()
        between = []
        for name in files.rotated_names(self._directory):
            try:
                state = (self._directory / name).stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            inode = (state.st_dev, state.st_ino)
            if self._open is not None and inode == self._open.file.inode:
                break  # rotated already: it and what comes after it is read next time
            if name > self._last_rotated:
                self._last_rotated = name
                if inode != before:
                    between.append(name)
        return between

    def _open_live(self) -> None:
        """What has the log's name, if anything has."""
        self._unfit = None
        path = self._directory / files.NAME
        handle = None
        with contextlib.suppress(FileNotFoundError):
            try:
                handle = open_regular(path)
                state = os.fstat(handle)
            except IrregularFileError:
                state = path.stat(follow_symlinks=False)
            except PermissionError as error:
                raise files.forbidden(error) from error
            file = LogFile(
                workload=self._directory.name,
                path=path,
                inode=(state.st_dev, state.st_ino),
                size=state.st_size,
                rotated_ns=None,
                may_grow=True,
                unfit=files.unfit(state),
            )
            if handle is not None and not file.unfit:
                self._open = _Open(file, handle)
                return
            self._unfit = file
        if handle is not None:
            os.close(handle)

    def _drain(self, reader: merge.Reader, *, is_over: bool = False) -> Iterator[Entry]:
        """Lines of the open file up to its last newline, or to its end when it is over."""
        if self._open is None:
            return
        state = os.fstat(self._open.handle)
        if files.unfit(state):
            return  # it was a log until now: it is named as soon as that is seen of its name
        size = state.st_size
        if size < self._open.offset:
            self._open.offset = 0  # emptied in place
        file = dataclasses.replace(self._open.file, size=size, may_grow=not is_over)
        for line in lines.forwards(self._open.handle, self._open.offset, size):
            if not line.ended and not is_over:
                break
            self._open.offset = line.offset + line.size + 1
            entry = reader.entry(file, line)
            if entry is not None:
                yield entry

    def _whole(self, name: str, reader: merge.Reader) -> Iterator[Entry]:
        """A file that was begun and rotated between two looks."""
        for file in files.chain(self._directory):
            handle = merge.opened(file) if file.path.name == name else None
            if handle is not None:
                try:
                    for line in lines.forwards(handle, 0, file.size):
                        entry = reader.entry(file, line)
                        if entry is not None:
                            yield entry
                finally:
                    os.close(handle)


def _line_begin(handle: int, size: int) -> int:
    """Where the last line begins that has no newline yet."""
    last = next(lines.backwards(handle, 0, size), None)
    return size if last is None or last.ended else last.offset
