"""Copies of programs and sources for uids that may not read the originals.

A checkout or an interpreter below a home directory of mode 0700 is invisible to
a workload with a uid of its own. What cannot be read is linked or copied below
the cache, under a name made from what went into it, so that a change makes a
new copy and an unchanged one costs a few stat calls.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_KEEP_SECONDS = 3 * 86400
_OTHERS_READ, _OTHERS_ENTER = stat.S_IROTH, stat.S_IXOTH


def readable_by_others(path: Path) -> bool:
    """Whether any uid may read `path`: by mode bits, along every directory on the way.

    A directory must be enterable too, an executable file executable. Both the
    path as written and where its links lead are looked at.
    """
    return all(_is_open(Path(os.path.abspath(p))) for p in (path, path.resolve()))  # noqa: PTH100 — resolve() would follow the links


def _is_open(path: Path) -> bool:
    try:
        modes = [parent.stat().st_mode for parent in path.parents]
        own = path.stat().st_mode
    except OSError:
        return False
    needed = _OTHERS_READ
    if stat.S_ISDIR(own) or own & stat.S_IXUSR:
        needed |= _OTHERS_ENTER
    return own & needed == needed and all(mode & _OTHERS_ENTER for mode in modes)


def stamp_of(parts: Iterable[object]) -> str:
    """A short name for the state that `parts` describe: 16 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part).encode() + b"\0")
    return digest.hexdigest()[:16]


def file_state(path: Path) -> tuple[str, int, int]:
    """What changes when a file is replaced: its real path, size and time."""
    found = path.stat()
    return str(path.resolve()), found.st_size, found.st_mtime_ns


def ensure(target: Path, build: Callable[[Path], None]) -> Path:
    """Makes the directory `target` by `build(scratch)` unless it is there, atomically.

    A directory that nobody used for three days is removed by the next `prune`.
    """
    if target.is_dir():
        os.utime(target)
        return target
    open_directory(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        build(made)
        made.chmod(0o755)
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():  # somebody else was faster: theirs is the same
                raise
    return target


def open_directory(path: Path) -> None:
    """Makes `path` and what is missing above it, enterable by all."""
    for directory in (*reversed(path.parents), path):
        if not directory.exists():
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)


def keep(directory: Path, used: Iterable[Path]) -> None:
    """Marks the copies below `directory` that stand on the way to `used` as in use."""
    for path in used:
        if path.is_relative_to(directory) and path != directory:
            os.utime(directory / path.relative_to(directory).parts[0])


def prune(directory: Path) -> None:
    """Removes copies below `directory` that were not used for three days."""
    oldest = time.time() - _KEEP_SECONDS
    for entry in directory.iterdir() if directory.is_dir() else ():
        if entry.is_dir() and entry.stat(follow_symlinks=False).st_mtime < oldest:
            shutil.rmtree(entry, ignore_errors=True)


def copy_tree(source: Path, target: Path, *, skip: frozenset[str], link: bool) -> None:
    """Copies a tree with every file readable by all.

    Args:
        source: a directory; symbolic links in it are followed for files.
        target: must not exist yet, or be an empty directory.
        skip: names at the top of `source` to leave out; `__pycache__` is kept below.
        link: hard links where the file is readable by all already and on the same
            file system, which costs no space.
    """

    def ignore(directory: str, names: list[str]) -> list[str]:
        top = Path(directory) == source
        return [name for name in names if (top and name in skip) or name.endswith(".pth")]

    copy = link_or_copy if link else copy_file
    shutil.copytree(source, target, ignore=ignore, copy_function=copy, dirs_exist_ok=True)
    for root, _, _ in os.walk(target):
        Path(root).chmod(0o755)


def link_or_copy(source: str, target: str) -> None:
    """A hard link, or a copy where that is impossible or would not be readable."""
    real = os.path.realpath(source)
    if Path(real).stat().st_mode & _OTHERS_READ:
        try:
            os.link(real, target)
        except OSError:
            pass  # another file system, or one without links
        else:
            return
    copy_file(real, target)


def copy_file(source: str, target: str) -> None:
    """A copy with the same time, readable by all, executable by all if it was by its owner."""
    shutil.copyfile(source, target)
    found = Path(source).stat()
    Path(target).chmod(0o755 if found.st_mode & stat.S_IXUSR else 0o644)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
