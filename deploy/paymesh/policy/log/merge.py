"""All workloads' records in order of time, from the oldest or from the newest.

Every workload's log is read once and as a stream. A record stands in it where its decision
was finished, so that its neighbours may be a little older; the order is put right over the
longest time that a decision takes.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from paymesh.policy.log import files, lines, records
from paymesh.policy.log.files import LogFile
from paymesh.policy.log.moments import SECOND_NS
from paymesh.policy.log.records import Damage, Entry
from paymesh.policy.log.selection import Selection
from paymesh.runtime.files import IrregularFileError, open_regular

# Above the decision point's own limits for a decision and its record, 0.9 s and 1 s.
SLACK_NS = 2 * SECOND_NS

Report = Callable[[Damage], None]


class Reader:
    """What is wanted of the logs, and whom to tell what cannot be read of them.

    Args:
        selection: which records.
        since_ns: the first moment that is wanted.
        until_ns: the first moment that is not.
        report: told of all damage, once each, in the order of reading.
    """

    def __init__(
        self,
        selection: Selection,
        report: Report,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> None:
        self._selection = selection
        self.report = report
        self._since_ns = since_ns if since_ns is not None else 0
        self._until_ns = until_ns
        self._needles = selection.needles()

    def oldest_first(self, chains: Iterable[Sequence[LogFile]]) -> Iterator[Entry]:
        """Every wanted record.

        Args:
            chains: the files of each workload, the oldest first.
        """
        streams = [self._stream(chain, is_backwards=False) for chain in chains]
        return _in_order(heapq.merge(*streams, key=lambda entry: entry.time_ns), 1)

    def newest_first(self, chains: Iterable[Sequence[LogFile]]) -> Iterator[Entry]:
        """The same from the other end, reading no more than is asked for."""
        streams = [self._stream(chain, is_backwards=True) for chain in chains]
        return _in_order(heapq.merge(*streams, key=lambda entry: -entry.time_ns), -1)

    def entry(self, file: LogFile, line: lines.Line) -> Entry | None:
        """The record of a line if it is wanted; damage is reported."""
        data = line.data
        if (
            self._needles
            and not all(needle in data for needle in self._needles)
            and records.seems_whole(data)
        ):
            return None
        record = records.parse(data) if data else None
        if record is None:
            data = self._damaged(file, line)
            record = records.parse(data) if data else None
        if record is None or not self._selection.matches(record, file.workload):
            return None
        entry = records.entry_of(file, data, record)
        is_late = self._until_ns is not None and entry.time_ns >= self._until_ns
        return None if is_late or entry.time_ns < self._since_ns else entry

    def _damaged(self, file: LogFile, line: lines.Line) -> bytes:
        """Reports what is no record; returns the record that was written behind it, if any."""
        if not line.data or (file.may_grow and not line.ended):
            return b""  # a newline too many, or a record that is being written
        kept, rest = records.split_damaged(line.data)
        size = line.size - len(rest)
        cut = size == kept and records.is_cut(line.data[:kept])
        self.report(Damage(file, line.offset, size, cut))
        return rest

    def _stream(self, chain: Sequence[LogFile], *, is_backwards: bool) -> Iterator[Entry]:
        for file in reversed(chain) if is_backwards else chain:
            if file.rotated_ns is not None and file.rotated_ns < self._since_ns:
                if is_backwards:
                    return
                continue
            if file.unfit:
                self.report(Damage(file, 0, file.size, cut=False))
                continue
            with contextlib.ExitStack() as stack:
                handle = opened(file)
                if handle is None:
                    continue  # removed meanwhile: there is nothing to say of it
                stack.callback(os.close, handle)
                start, end = self._part(handle, file)
                read = lines.backwards if is_backwards else lines.forwards
                for line in read(handle, start, end):
                    entry = self.entry(file, line)
                    if entry is not None:
                        yield entry

    def _part(self, handle: int, file: LogFile) -> tuple[int, int]:
        """The bytes of a file that may hold what is wanted."""
        size = min(file.size, os.fstat(handle).st_size)
        start, end = 0, size
        if self._since_ns:
            start = lines.around(handle, size, self._since_ns - SLACK_NS)[0]
        if self._until_ns is not None:
            end = lines.around(handle, size, self._until_ns + SLACK_NS)[1]
        return start, max(start, end)


def opened(file: LogFile) -> int | None:
    """A file descriptor of the file, under its name of today; None when it was removed or is unfit.

    Raises:
        ConfigError: it may not be read.
    """
    if file.unfit:
        return None
    for path in (file.path, *_others(file)):
        try:
            handle = open_regular(path)
        except (FileNotFoundError, IrregularFileError):
            continue
        except PermissionError as error:
            raise files.forbidden(error) from error
        state = os.fstat(handle)
        if (state.st_dev, state.st_ino) == file.inode:
            return handle
        os.close(handle)
    return None


def _others(file: LogFile) -> Iterator[Path]:
    """Where a log went that was rotated since it was found; looked up only when asked."""
    for name in reversed(files.rotated_names(file.path.parent)):
        yield file.path.with_name(name)


def _in_order(entries: Iterable[Entry], sign: int) -> Iterator[Entry]:
    """Puts right what is out of order by less than SLACK_NS.

    Args:
        entries: in the order of a merge of logs.
        sign: 1 for growing times, -1 for falling ones.
    """
    waiting: list[tuple[int, int, Entry]] = []
    furthest: int | None = None
    for number, entry in enumerate(entries):
        place = sign * entry.time_ns
        heapq.heappush(waiting, (place, number, entry))
        furthest = place if furthest is None else max(furthest, place)
        while waiting[0][0] < furthest - SLACK_NS:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
