"""What stands on disk compared with what is declared: owners, groups and modes."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from paymesh.attack.inventory.declared import (
    AGENT_CLIENTS,
    DATABASE_CLIENTS,
    POSTGRES,
    ROOT,
    Declared,
    Listener,
    Place,
)
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime.accounts import load_accounts, postgres_user

_KINDS = {"socket": stat.S_ISSOCK, "directory": stat.S_ISDIR, "file": stat.S_ISREG}


@dataclasses.dataclass(frozen=True)
class Wrong:
    """Something that is not as it is declared, or that others can read without its being so."""

    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}"


def differences(declared: Declared, paths: Paths, mesh: Mesh) -> Iterator[Wrong]:
    """Every difference. Without root all owners are one, and a mode may be narrower."""
    disk = _Disk(declared, paths, mesh)
    yield from disk.sockets()
    yield from disk.places()
    yield from disk.open_to_others()


class _Disk:
    def __init__(self, declared: Declared, paths: Paths, mesh: Mesh) -> None:
        self._declared, self._home, self._mesh = declared, paths.home, mesh
        self._separate = load_accounts(mesh).separate

    def sockets(self) -> Iterator[Wrong]:
        for listener in self._declared.listeners:
            path = self._home / listener.address
            # One that is not there is missing, which is another matter.
            if listener.kind == "unix" and os.path.lexists(path):
                yield from self._compared(path, listener, "socket")

    def places(self) -> Iterator[Wrong]:
        for kind, places in (
            ("directory", self._declared.directories),
            ("file", self._declared.files),
        ):
            for place in places:
                found = sorted(self._home.glob(place.path)) if "*" in place.path else []
                for path in found or [self._home / place.path]:
                    yield from self._compared(path, place, kind)

    def open_to_others(self) -> Iterator[Wrong]:
        """Files and directories that are not declared, where others, or a group that has
        more than one member, may enter and read.
        """
        declared = (*self._declared.directories, *self._declared.files)
        known = [place.path.split("/") for place in declared]
        waiting = [self._home] if self._separate else []
        while waiting:
            with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(found.st_mode) and self._others(found, 1):
                            waiting.append(Path(entry.path))
                        path = Path(entry.path)
                        parts = path.relative_to(self._home).parts
                        if self._is_open(found) and not any(_matches(parts, k) for k in known):
                            yield Wrong(path, "is open to others and not declared")

    def _is_open(self, found: os.stat_result) -> bool:
        return bool(
            (stat.S_ISREG(found.st_mode) and self._others(found, 6))
            or (stat.S_ISDIR(found.st_mode) and self._others(found, 7))
        )

    def _others(self, found: os.stat_result, bits: int) -> bool:
        shared = found.st_gid in {self._mesh.agent_gid, self._mesh.database_gid}
        return bool(found.st_mode & (bits | (bits << 3 if shared else 0)))

    def _compared(self, path: Path, wanted: Listener | Place, kind: str) -> Iterator[Wrong]:
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            yield Wrong(path, "is not there")
            return
        except PermissionError:
            yield Wrong(path, "cannot be looked at: run as root")
            return
        if not _KINDS[kind](found.st_mode):
            yield Wrong(path, f"is no {kind}")
            return
        mode, declared = stat.S_IMODE(found.st_mode), wanted.mode or 0
        if mode & ~declared if not self._separate else mode != declared:
            yield Wrong(path, f"has mode {mode:04o}, declared {declared:04o}")
        uid = self._uid(wanted.owner)
        if found.st_uid != uid:
            yield Wrong(path, f"belongs to uid {found.st_uid}, declared {wanted.owner} ({uid})")
        gid = self._gid(wanted.group)
        if self._separate and found.st_gid != gid:
            yield Wrong(path, f"belongs to group {found.st_gid}, declared {wanted.group} ({gid})")

    def _uid(self, name: str) -> int:
        if not self._separate:
            return os.geteuid()
        if name == ROOT:
            return 0
        return postgres_user().pw_uid if name == POSTGRES else self._mesh.uid(name)

    def _gid(self, name: str) -> int:
        shared = {AGENT_CLIENTS: self._mesh.agent_gid, DATABASE_CLIENTS: self._mesh.database_gid}
        if name == POSTGRES:
            return postgres_user().pw_gid
        return shared[name] if name in shared else self._uid(name)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(parts) == len(pattern) and all(map(fnmatch.fnmatchcase, parts, pattern))
