"""The lines of one file, forwards and backwards, in little memory whatever the file holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from paymesh.policy.log import records

BLOCK_BYTES = 256 << 10
# Far above a decision point's max_record_bytes. Of a longer line only the end is kept: a record
# may have been written behind what a crash of the machine left.
LONGEST_LINE_BYTES = 1 << 20
_NEAR_BYTES = 64 << 10
_NEWLINE = b"\n"


class Line(NamedTuple):
    """One line without its newline.

    Attributes:
        offset: of its first byte in the file.
        size: in bytes; `data` is as long unless the line is longer than LONGEST_LINE_BYTES.
        ended: there is a newline after it.
    """

    offset: int
    size: int
    data: bytes
    ended: bool = True


def forwards(handle: int, start: int, end: int) -> Iterator[Line]:
    """Lines of the bytes `start` to `end`.

    Args:
        handle: file descriptor; its position is neither used nor moved.
        start: where a line begins.
        end: in bytes; may be beyond the file's.
    """
    rest, lost, offset, position = b"", 0, start, start
    while position < end and (
        block := os.pread(handle, min(BLOCK_BYTES, end - position), position)
    ):
        position += len(block)
        pieces = (rest + block).split(_NEWLINE)
        rest = pieces.pop()
        for piece in pieces:
            yield Line(offset, lost + len(piece), piece)
            offset += lost + len(piece) + 1
            lost = 0
        if len(rest) > LONGEST_LINE_BYTES:
            lost += len(rest) - LONGEST_LINE_BYTES
            rest = rest[-LONGEST_LINE_BYTES:]
    if rest:
        yield Line(offset, lost + len(rest), rest, ended=False)


def backwards(handle: int, start: int, end: int) -> Iterator[Line]:
    """The same lines as `forwards`, the last one first."""
    rest, lost, position, ended = b"", 0, end, False
    while position > start:
        wanted = min(BLOCK_BYTES, position - start)
        position -= wanted
        block = os.pread(handle, wanted, position)
        if len(block) < wanted:
            return  # somebody has made the file shorter: what was there is gone
        before, newline, after = block.rpartition(_NEWLINE)
        if newline:
            offset = position + len(before) + 1
            size = len(after) + lost + len(rest)
            if ended or size:  # nothing stands behind the newline that ends the file
                yield Line(offset, size, rest if lost else after + rest, ended)
            ended, lost = True, 0
            first, *pieces = before.split(_NEWLINE)
            cursor = position + len(before)
            for piece in reversed(pieces):
                yield Line(cursor - len(piece), len(piece), piece)
                cursor -= len(piece) + 1
            rest = first
        elif lost:
            lost += len(block)
        else:
            rest = block + rest
        if len(rest) > LONGEST_LINE_BYTES:
            lost += len(rest) - LONGEST_LINE_BYTES
            rest = rest[-LONGEST_LINE_BYTES:]
    if rest or ended:
        yield Line(start, lost + len(rest), rest, ended)


def around(handle: int, size: int, moment_ns: int) -> tuple[int, int]:
    """Where in a log a moment is: before the first offset every line that can be read is
    earlier, from the second on every line is not earlier. Both are a line's beginning or the end.

    As exact as the log's own order, which is that of the records' completion: whoever wants
    all of a time asks for a little more.
    """
    low, high = 0, size
    while high - low > _NEAR_BYTES:
        middle = (low + high) // 2
        found = _first_time(handle, middle, high)
        if found is None:
            # Nothing but damage up to the end of what is left.
            return low, high
        offset, time_ns = found
        low, high = (offset, high) if time_ns < moment_ns else (low, offset)
    return low, high


def _first_time(handle: int, start: int, end: int) -> tuple[int, int] | None:
    """Offset and time of the first record that begins after `start`."""
    lines = forwards(handle, start, end)
    next(lines, None)  # begins in the middle of a line
    for line in lines:
        found = records.time_ns(line.data)
        if found is not None:
            return line.offset, found
    return None
