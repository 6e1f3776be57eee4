"""Which decision logs there are: `run/<workload>/decisions.jsonl` and what was rotated away.

The decision point renames a full log to `decisions.jsonl.<UTC time>`, so the names are in
order of time and a name says that nothing in the file is later.

The directory is the workload's, who may have put anything there under such a name.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from paymesh.errors import ConfigError
from paymesh.policy.log import moments

NAME = "decisions.jsonl"
_STAT_BLOCK_BYTES = 512
_MOST_HOLE_BYTES = 1 << 30
_MOST_TIMES_STORED = 100
IsWritten = Callable[[str, float], bool]
_ROTATED = re.compile(
    re.escape(NAME) + r"\.(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z", re.ASCII
)


@dataclasses.dataclass(frozen=True)
class LogFile:
    """One file of a workload's log, as it was found.

    Attributes:
        workload: whose decision point wrote it.
        path: where it stood then; it may have been rotated away since.
        inode: device and number, by which it is known again.
        size: in bytes; what is appended later is not part of it.
        rotated_ns: when it was closed for good; None while it is written to.
        may_grow: somebody may be writing its last line at this moment.
        unfit: why nothing of it is read; empty for a log.
    """

    workload: str
    path: Path
    inode: tuple[int, int]
    size: int
    rotated_ns: int | None
    may_grow: bool = False
    unfit: str = ""

    @property
    def name(self) -> str:
        """As people are told of it."""
        return f"{self.workload}/{self.path.name}"


def workloads(run: Path) -> list[str]:
    """Every workload below `run` that has a log, sorted.

    Raises:
        ConfigError: the directories may not be read.
    """
    try:
        directories = sorted(path for path in run.iterdir() if path.is_dir())
        return [path.name for path in directories if _names(path)]
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise forbidden(error) from error


def chain(directory: Path, is_written: IsWritten = lambda *_: False) -> list[LogFile]:
    """The files of one workload, the oldest first and the one that is written to last.

    Args:
        directory: the workload's.
        is_written: whether the process still runs that last wrote to a live log, of its
            workload and the Unix time of that write; nobody is taken to run when left out.

    Raises:
        ConfigError: the directory may not be read.
    """
    found = []
    try:
        for name in _names(directory):
            try:
                state = (directory / name).stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # rotated or removed meanwhile
            found.append(
                LogFile(
                    workload=directory.name,
                    path=directory / name,
                    inode=(state.st_dev, state.st_ino),
                    size=state.st_size,
                    rotated_ns=rotation(name),
                    may_grow=name == NAME and is_written(directory.name, state.st_mtime),
                    unfit=unfit(state),
                )
            )
    except PermissionError as error:
        raise forbidden(error) from error
    return _without_doubles(found)


def unfit(state: os.stat_result) -> str:
    """Why a file of a log's name is none; empty when it may be one."""
    if not stat.S_ISREG(state.st_mode):
        return "is no regular file"
    stored = state.st_blocks * _STAT_BLOCK_BYTES
    # File systems that compress store a log in a tenth of its size.
    if state.st_size > _MOST_HOLE_BYTES + _MOST_TIMES_STORED * stored:
        return "consists of holes"
    return ""


def rotation(name: str) -> int | None:
    """When a file of this name was rotated; None for the live log's."""
    match = _ROTATED.fullmatch(name)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction = match.groups()
    return moments.of(f"{year}-{month}-{day}T{hour}:{minute}:{second}{fraction or ''}Z")


def rotated_names(directory: Path) -> list[str]:
    """Names of the rotated files, the oldest first; none when the directory is gone."""
    try:
        return _names(directory, with_live=False)
    except FileNotFoundError:
        return []


def forbidden(error: PermissionError) -> ConfigError:
    """What to tell somebody who may not read a log."""
    return ConfigError(
        f"{error.filename} may not be read: decision logs belong to the workloads' own users;"
        " run this as the user who runs the mesh (root when each workload has a uid of its own)"
    )


def _names(directory: Path, *, with_live: bool = True) -> list[str]:
    rotated = [path.name for path in directory.iterdir() if rotation(path.name) is not None]
    rotated.sort(key=lambda name: (rotation(name) or 0, name))
    live = [NAME] if with_live and os.path.lexists(directory / NAME) else []
    return rotated + live


def _without_doubles(found: Iterable[LogFile]) -> list[LogFile]:
    """A log that was rotated between two looks was seen under both names."""
    return list({file.inode: file for file in reversed(list(found))}.values())[::-1]
