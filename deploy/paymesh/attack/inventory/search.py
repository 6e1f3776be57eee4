"""What the running mesh listens on.

The mesh is the supervisor with everything below it, and whatever else runs under one of the
mesh's uids: a process that has left the supervisor keeps its uid. Several meshes of one
machine have the same uids: what stands below the supervisor of another, or works in its
home, is that mesh's, and is found when that one is searched; so is what root has put into
a container, as a cluster on this machine does with pods. PostgreSQL's uid may be the
machine's own, so of that only what stands below the supervisor is looked at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Collection, Iterator

from paymesh.attack.inventory.procfs import Process, Procfs, Socket
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime.status import MeshStatus

SUPERVISOR = "supervisor"
_MODULE = "paymesh.runtime.supervisor"


@dataclasses.dataclass(frozen=True)
class Listening:
    """Something that listens, and who has it open.

    Attributes:
        kind: `tcp`, `udp`, `udplite`, `raw`, `unix` or `abstract`.
        address: with the port; an absolute path; or a name.
        process: as `paymesh status` names it, or a process below that; None for any other.
        holder: the same for people: who it is, with its pid.
        inode: tells two sockets of one address apart; 0 for a file that nobody has open.
    """

    kind: str
    address: str
    process: str | None
    holder: str
    inode: int

    def __str__(self) -> str:
        return _printable(f"{self.kind} {self.address}, {self.holder}")


@dataclasses.dataclass(frozen=True)
class Found:
    """`unseen` are sentences on what could not be looked at."""

    listening: tuple[Listening, ...]
    unseen: tuple[str, ...]


def search(paths: Paths, mesh: Mesh, status: MeshStatus | None, procfs: Procfs) -> Found:
    """Looks once. Without root it sees the processes of the one user there is.

    Args:
        paths: of the mesh.
        mesh: names the uids.
        status: of the running supervisor; None when there is none.
        procfs: where to look.
    """
    return _Search(paths, mesh, status, procfs).run()


class _Search:
    def __init__(self, paths: Paths, mesh: Mesh, status: MeshStatus | None, procfs: Procfs) -> None:
        self._home = os.path.realpath(paths.home)
        self._procfs = procfs
        self._all = procfs.processes()
        self._supervisor = status.supervisor.pid if status and status.supervisor else None
        self._named = {p.pid: p.name for p in status.processes if p.pid} if status else {}
        names = (*mesh.workloads, *mesh.platform)
        separate = status.separate_uids if status else os.geteuid() == 0
        self._owners = {mesh.uid(name): name for name in names} if separate else {}
        self._apart = set(mesh.platform) - set(self._named.values()) if status else set()
        self._unseen: list[str] = []
        self._others_homes = [
            f"{os.path.realpath(home)}/"
            for pid, process in self._all.items()
            if pid != self._supervisor and self._is_supervisor(process)
            for home in [procfs.environment(pid).get("PAYMESH_HOME")]
            if home
        ]

    def run(self) -> Found:
        found = list(self._of_the_mesh())
        found += self._of_others({one.inode for one in found})
        known = {one.address for one in found}
        found += [one for one in self._files() if one.address not in known]
        return Found(tuple(dict.fromkeys(found)), tuple(self._unseen))

    def _process(self, pid: int) -> str | None:
        """The name of the process of the mesh that this one is or comes from; empty when it
        is the mesh's by its uid only; None when it is not the mesh's.

        A platform process that is not the supervisor's is known by its uid.
        """
        for ancestor in self._ancestors(pid):
            if ancestor.pid in self._named:
                return self._named[ancestor.pid]
            if ancestor.pid == self._supervisor:
                return SUPERVISOR
        owner = self._owner(self._all[pid])
        if owner is None or self._is_anothers(pid):
            return None
        return owner if owner in self._apart else ""

    def _is_anothers(self, pid: int) -> bool:
        if self._procfs.is_contained(pid):
            return True
        directory = f"{self._procfs.directory(pid)}/"
        return any(directory.startswith(home) for home in self._others_homes) or any(
            self._is_supervisor(ancestor) for ancestor in self._ancestors(pid)
        )

    def _ancestors(self, pid: int) -> Iterator[Process]:
        """The process, its parent and so on; ends where one has ended meanwhile."""
        seen: set[int] = set()
        while pid in self._all and pid not in seen:
            seen.add(pid)
            yield self._all[pid]
            pid = self._all[pid].parent

    def _is_supervisor(self, process: Process) -> bool:
        # Nobody but root can start what looks like this.
        return process.uids == {0} and _MODULE in self._procfs.arguments(process.pid)

    def _owner(self, process: Process) -> str | None:
        return next((self._owners[uid] for uid in process.uids if uid in self._owners), None)

    def _of_the_mesh(self) -> Iterator[Listening]:
        home = self._procfs.network(self._supervisor) if self._supervisor else None
        tables: dict[str | None, dict[int, Socket]] = {}
        for pid in self._all:
            name = self._process(pid)
            # A thread may have files and a network of its own.
            for task in self._procfs.tasks(pid) if name is not None else ():
                network = self._procfs.network(task)
                if network not in tables:
                    tables[network] = {one.inode: one for one in self._procfs.listening(task)}
                for inode in self._held(task, pid) & tables[network].keys():
                    found = self._listening(tables[network][inode], pid, name or None)
                    if home is not None and network != home:
                        elsewhere = f"{found.address} in a network of its own"
                        found = dataclasses.replace(found, address=elsewhere)
                    yield found

    def _held(self, task: str, pid: int) -> set[int]:
        try:
            return self._procfs.held(task)
        except PermissionError:
            sentence = f"what {self._shown(pid)} has open cannot be seen: run as root"
            if sentence not in self._unseen:
                self._unseen.append(sentence)
            return set()

    def _of_others(self, known: set[int]) -> Iterator[Listening]:
        """What one of the mesh's uids opened, or stands in the mesh's directories, and no
        process of the mesh holds.
        """
        left = {
            one.inode: one
            for one in self._procfs.listening(self._supervisor or os.getpid())
            if one.inode not in known and (one.uid in self._owners or self._is_at_home(one))
        }
        holders = self._holders(left.keys()) if left else {}
        for inode, one in left.items():
            pid = holders.get(inode)
            if pid is None:
                owner = f", opened under {self._owners[one.uid]}'s uid" if one.uid else ""
                held = f"held by no process that was seen{owner}"
                yield Listening(one.kind, one.address, None, held, inode)
            elif not self._is_anothers(pid):
                yield self._listening(one, pid, None)

    def _is_at_home(self, one: Socket) -> bool:
        return one.kind == "unix" and _real(one.address).startswith(f"{self._home}/")

    def _holders(self, inodes: Collection[int]) -> dict[int, int]:
        found = {}
        for pid in self._all:
            with contextlib.suppress(PermissionError):
                found.update(dict.fromkeys(self._procfs.held(pid) & set(inodes), pid))
        return found

    def _listening(self, one: Socket, pid: int, name: str | None) -> Listening:
        address = one.address
        if one.kind == "unix":
            # What was bound by a relative path: nothing here changes its directory later.
            address = _real(os.path.join(self._procfs.directory(pid) or "?", address))  # noqa: PTH118 — only joins
        holder = self._named.get(pid) or self._shown(pid)
        return Listening(one.kind, address, name, f"held by {holder}", one.inode)

    def _shown(self, pid: int) -> str:
        process = self._all[pid]
        owner = self._owner(process)
        uid = f"{owner}'s uid" if owner else f"uid {min(process.uids)}"
        return f"{process.name} (pid {pid}) under {uid}"

    def _files(self) -> Iterator[Listening]:
        """Every socket below the home, whether or not anybody has it open."""
        waiting = [self._home]
        while waiting:
            with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False) and _is_socket(entry):
                        yield Listening(
                            "unix", entry.path, None, "held by no process that was seen", 0
                        )


def _is_socket(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _real(path: str) -> str:
    """The path without links on the way: as the kernel names a working directory."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)  # noqa: PTH118 — only joins


def _printable(text: str) -> str:
    """Names and paths are chosen by whoever listens, and are shown on a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
