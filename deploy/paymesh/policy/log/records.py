"""One line of a decision log: a record, or what a killed writer or a bad disk left of one."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from paymesh.policy.log import moments
from paymesh.policy.log.files import LogFile

Record = dict[str, Any]

# The first two members of every record; they are enough to put it in order.
_HEAD = re.compile(
    rb'\{"decision_id":"[^"\\]{0,256}","time":"'
    rb'([0-9T:.-]{19,29}Z)"'
)
_BEGIN = b'{"decision_id":'
# The last members: whatever was cut off before does not end like this.
_LAST = b'"eval_ns":'
_TAIL = re.compile(rb'"eval_ns":\d{1,19}(,"error":"(?:[^"\\]|\\.)*")?\}\Z', re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One record with the place that it comes from."""

    time_ns: int
    file: LogFile
    line: bytes
    record: Record

    @property
    def workload(self) -> str:
        """Whose decision point decided."""
        return self.file.workload


@dataclasses.dataclass(frozen=True)
class Damage:
    """Bytes of a log that are no record.

    Attributes:
        cut: it is the beginning of a record; otherwise it is something else.

    Of a file that is unfit nothing was read at all.
    """

    file: LogFile
    offset: int
    size: int
    cut: bool

    def __str__(self) -> str:
        if self.file.unfit:
            return f"{self.file.path} {self.file.unfit}: nothing of it is read"
        what = "a record was cut" if self.cut else "there is something that is no record"
        return f"{what} in {self.file.path} at byte {self.offset} ({self.size} bytes)"


def time_ns(line: bytes) -> int | None:
    """When the record of this line was made, by its first members alone."""
    match = _HEAD.match(line)
    if match is None:
        return None
    return moments.of(match[1].decode("ascii"))


def seems_whole(line: bytes) -> bool:
    """Whether a line begins and ends as a record does: enough for one that nobody asked for."""
    return line.rfind(_BEGIN) == 0 and _TAIL.match(line, line.rfind(_LAST)) is not None


def parse(line: bytes) -> Record | None:
    """The record of a line; None when it is none."""
    try:
        # Bytes would be taken for UTF-16 too, and for UTF-8 that is none.
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("decision_id"), str):
        return None
    stamp = found.get("time")
    return found if isinstance(stamp, str) and moments.of(stamp) is not None else None


def split_damaged(line: bytes) -> tuple[int, bytes]:
    """How many bytes at the beginning of a line are no record, and what follows them: a record
    that was written after them without a newline between, or nothing.

    Quotes in a string are escaped, so these bytes within a line are the beginning of an object.
    """
    begin = line.rfind(_BEGIN, 1)
    if begin > 0 and parse(line[begin:]) is not None:
        return begin, line[begin:]
    return len(line), b""


def is_cut(piece: bytes) -> bool:
    """Whether it is how a record begins."""
    return piece.startswith(_BEGIN) or _BEGIN.startswith(piece)


def entry_of(file: LogFile, line: bytes, record: Record) -> Entry:
    """An entry of a record that `parse` made of the line."""
    moment = moments.of(record["time"])
    assert moment is not None  # noqa: S101 - parse has looked
    return Entry(moment, file, line, record)
