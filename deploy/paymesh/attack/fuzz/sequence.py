"""What is sent over one connection, and files of it that people read and `--replay` sends."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from paymesh.attack import wire
from paymesh.errors import ConfigError
from paymesh.runtime.files import write_file

_HEAD_BYTES = 9
_BYTES_IN_A_LINE = 48
_BEGIN = re.compile(r"sequence (\S+) at (.+)")
_HEADER = """\
# What `paymesh attack-fuzz --replay FILE` sends: bytes in hexadecimal, a connection for each
# sequence. Lines that are indented go on from the line above; what follows # is for people.
"""


@dataclasses.dataclass(frozen=True)
class Sequence:
    """Everything that goes out over one connection.

    Attributes:
        name: seed and number, such as `7/120`; says nothing more.
        door: the name of the door that it is sent to.
        frames: in order; each is written by itself. Bytes that are no frame are allowed.
    """

    name: str
    door: str
    frames: tuple[bytes, ...]

    def replaced(self, frames: Iterable[bytes]) -> Sequence:
        """The same with other frames."""
        return dataclasses.replace(self, frames=tuple(frames))


def traces(sequence: Sequence) -> set[str]:
    """Every trace id that stands in it as it is, not in Huffman's code."""
    found = re.findall(rb"00-([0-9a-f]{32})-", b"".join(sequence.frames))
    return {one.decode() for one in found}


def awaited(sequence: Sequence) -> set[int]:
    """The streams of its requests that are whole, as far as its frames can be read."""
    found = set()
    for data in sequence.frames:
        kind, flags, stream = _parts(data) or (None, 0, 0)
        if kind in {wire.Frame.DATA, wire.Frame.HEADERS} and flags & wire.Flag.END_STREAM:
            found.add(stream)
    return {stream for stream in found if stream % 2}


def described(data: bytes) -> str:
    """A frame in words; of what is no frame its length."""
    parts = _parts(data)
    if data == wire.PREFACE:
        return "the preface"
    if parts is None:
        return f"{len(data)} bytes that are no frame"
    kind, flags, stream = parts
    name = wire.Frame(kind).name if kind in list(wire.Frame) else f"type {kind}"
    lies = int.from_bytes(data[:3], "big")
    length = len(data) - _HEAD_BYTES
    told = f", says {lies}" if lies != length else ""
    return f"{name} flags 0x{flags:02x} stream {stream}, {length} bytes{told}"


def _parts(data: bytes) -> tuple[int, int, int] | None:
    if len(data) < _HEAD_BYTES or data.startswith(b"PRI * "):
        return None
    return data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF


def write(path: Path, sequences: Iterable[Sequence], why: Iterable[str] = ()) -> None:
    """A file of sequences, 0600; `why` says what is wrong with them.

    Raises:
        ConfigError: it cannot be written.
    """
    lines = [_HEADER, *(f"# {' '.join(line.split())}\n" for line in why)]
    for sequence in sequences:
        lines.append(f"\nsequence {sequence.name} at {sequence.door}\n")
        lines += _lines(sequence)
    try:
        write_file(path, "".join(lines), 0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error


def _lines(sequence: Sequence) -> Iterator[str]:
    for data in sequence.frames:
        rows = [
            data[start : start + _BYTES_IN_A_LINE].hex()
            for start in range(0, max(len(data), 1), _BYTES_IN_A_LINE)
        ]
        yield f"{rows[0] or '-'}  # {described(data)}\n"
        yield from (f"  {row}\n" for row in rows[1:])


def read(path: Path) -> list[Sequence]:
    """The sequences of a file.

    Raises:
        ConfigError: it cannot be read, or is no such file.
    """
    found: list[tuple[str, str, list[bytes]]] = []
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].rstrip()
        if not text:
            continue
        begin = _BEGIN.fullmatch(text)
        try:
            if begin:
                found.append((begin[1], begin[2], []))
            elif text.startswith(" "):
                found[-1][2][-1] += bytes.fromhex(text)
            else:
                found[-1][2].append(b"" if text == "-" else bytes.fromhex(text))
        except (ValueError, IndexError):
            raise ConfigError(f"{path}, line {number}: this is no line of a sequence") from None
    return [Sequence(name, door, tuple(frames)) for name, door, frames in found]
