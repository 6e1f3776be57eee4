"""Follows edits below a directory by the kernel's word: inotify(7).

    async for settled in follow(directory, wanted=…):     # at once, and after every edit
        work = prepare()
        if await settled():
            publish(work)

A save is seen at once, and looking out for one costs next to nothing. A file that somebody
has begun to write is waited for until it is closed, so that no half of it is read. Whether
more is being saved shows a little later: there is time to work until then, and when it is
so the work was for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

QUIET_SECONDS = 0.01
LONGEST_SECONDS = 0.5
# The kernel's word is good, but not where a file system is another machine's as well.
_LOOK_SECONDS = 2.0
# Where the kernel watches no more for this user.
_LOOK_WITHOUT_WATCH_SECONDS = 0.5

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _IGNORED, _IS_DIRECTORY = 0x4000, 0x8000, 0x40000000
_ONLY_DIRECTORIES, _DO_NOT_FOLLOW = 0x1000000, 0x2000000
_GONE = _DELETE_SELF | _MOVE_SELF
_WANTED = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _GONE

_HEADER = struct.Struct("iIII")
_READ_BYTES = 65536

Settled = Callable[[], Awaitable[bool]]
_Seen = dict[str, tuple[int, int, int]]


async def follow(
    directory: Path,
    *,
    wanted: Callable[[str], bool],
    recursive: bool = True,
) -> AsyncGenerator[Settled]:
    """Yields for what there is, and then after every edit; does not end.

    What it yields says, when it is awaited, whether the edit is over. If not, the next one
    is yielded at once.

    Args:
        directory: need not be there all the time.
        wanted: whether a file of this name matters.
        recursive: whether directories in it matter, also those made later.
    """
    known: _Seen | None = None
    while True:
        try:
            async with Watch(directory, wanted, recursive=recursive) as watch:
                is_edited = False
                while True:
                    seen = _look(directory, wanted, recursive=recursive)
                    if is_edited or seen != known:
                        known = seen
                        yield watch.settled
                    is_edited = await watch.edited(_LOOK_SECONDS)
        except OSError:
            seen = _look(directory, wanted, recursive=recursive)
            if seen != known:
                known = seen
                yield at_once
            await asyncio.sleep(_LOOK_WITHOUT_WATCH_SECONDS)


async def at_once() -> bool:
    """For who does not wait to see whether an edit is over."""
    return True


def _look(directory: Path, wanted: Callable[[str], bool], *, recursive: bool) -> _Seen:
    """What changes when a file does, nearly always."""
    found: _Seen = {}
    for root, directories, names in os.walk(directory):
        if not recursive:
            directories.clear()
        for name in filter(wanted, names):
            path = os.path.join(root, name)  # noqa: PTH118 — many, every few seconds
            with contextlib.suppress(OSError):
                state = os.stat(path)  # noqa: PTH116
                found[path] = (state.st_ino, state.st_size, state.st_mtime_ns)
    return found


class _Event(NamedTuple):
    watch: int
    mask: int
    name: str


class Watch:
    """What is written, moved or removed below a directory; arguments as of `follow`.

    Raises:
        OSError: the system watches no more for this user, or there is no such directory.
    """

    def __init__(
        self, directory: Path, wanted: Callable[[str], bool], *, recursive: bool = True
    ) -> None:
        self._root = directory
        self._wanted = wanted
        self._recursive = recursive
        self._directories: dict[int, Path] = {}
        # Written to, and not closed yet.
        self._open: set[Path] = set()
        self._arrived = asyncio.Event()
        # Of the edit that is going on: its first event's time, and its last one's.
        self._began: float | None = None
        self._last = 0.0
        self._is_gone = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = _checked(self._libc.inotify_init1(flags), directory)
        try:
            self._add(directory)
        except OSError:
            os.close(self._descriptor)
            raise

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._descriptor, self._take)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    async def edited(self, patience_seconds: float) -> bool:
        """Waits for something to be saved and closed; False when nothing is within this time.

        Raises:
            FileNotFoundError: the directory itself was moved or removed.
        """
        if not await self._arrives(patience_seconds):
            return False
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        while self._open and await self._arrives(self._left_seconds()):
            pass
        # One that is written to for so long is seen again when it is closed.
        self._open.clear()
        if self._is_gone:
            raise FileNotFoundError(errno.ENOENT, "it was moved or removed", str(self._root))
        return True

    async def settled(self) -> bool:
        """Whether nothing else was saved since `edited` returned, until QUIET_SECONDS after the
        last save. An edit without an end is taken to be over after LONGEST_SECONDS.
        """
        self._take()
        quiet_seconds = self._last + QUIET_SECONDS - asyncio.get_running_loop().time()
        left_seconds = self._left_seconds()
        if left_seconds > 0 and await self._arrives(min(quiet_seconds, left_seconds)):
            self._arrived.set()  # for `edited`
            return False
        self._began = None
        return True

    async def _arrives(self, seconds: float) -> bool:
        """Whether something happens within this time, or has."""
        if not self._arrived.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), seconds)
        has_arrived = self._arrived.is_set()
        self._arrived.clear()
        return has_arrived

    def _left_seconds(self) -> float:
        now = asyncio.get_running_loop().time()
        return (now if self._began is None else self._began) + LONGEST_SECONDS - now

    def _take(self) -> None:
        """Called by the event loop when the kernel has something to say."""
        with contextlib.suppress(BlockingIOError):
            for event in _events(os.read(self._descriptor, _READ_BYTES)):
                self._note(event)

    def _arrive(self) -> None:
        self._last = asyncio.get_running_loop().time()
        self._arrived.set()

    def _note(self, event: _Event) -> None:
        directory = self._directories.get(event.watch, self._root)
        path = directory / event.name
        if event.mask & _IGNORED:
            self._directories.pop(event.watch, None)
        elif event.mask & _OVERFLOW:
            # Much happened and nobody says what; directories may have come with it.
            self._open.clear()
            self._add_new(self._root)
            self._arrive()
        elif event.mask & _GONE:
            # One further down is its parent's business.
            if directory == self._root:
                self._is_gone = True
                self._arrive()
        elif event.mask & _IS_DIRECTORY:
            if self._recursive:
                self._add_new(path)
                self._arrive()
        elif self._wanted(event.name):
            if event.mask & _MODIFY:
                self._open.add(path)
            else:
                self._open.discard(path)
            self._arrive()

    def _add(self, directory: Path) -> None:
        """Watches a directory and, if so wanted, those in it."""
        mask = _WANTED | _ONLY_DIRECTORIES | _DO_NOT_FOLLOW
        number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask)
        self._directories[_checked(number, directory)] = directory
        if self._recursive:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        self._add(Path(entry.path))

    def _add_new(self, directory: Path) -> None:
        """One that came while we watch: it may be gone again, or be one too many. What is
        saved in it then is found by looking, later.
        """
        with contextlib.suppress(OSError):
            self._add(directory)


def _events(data: bytes) -> Iterator[_Event]:
    offset = 0
    while offset < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        name = data[offset : offset + length].rstrip(b"\0")
        offset += length
        yield _Event(watch, mask, os.fsdecode(name))


def _checked(result: int, directory: Path) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(directory))
    return result
