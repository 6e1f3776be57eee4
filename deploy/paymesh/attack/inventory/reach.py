"""Who can connect to what is declared, and read it: from owners, groups and modes alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import PurePath

from paymesh.attack.inventory.declared import (
    AGENT_CLIENTS,
    DATABASE_CLIENTS,
    Declared,
    Listener,
    Place,
)
from paymesh.attack.model import INSIDE, OPERATOR, OUTSIDE, positions
from paymesh.mesh import Mesh
from paymesh.runtime.accounts import Accounts

EVERYONE_INSIDE, ALL_WORKLOADS = "everyone inside", "all workloads"
_READ, _WRITE, _ENTER = 4, 2, 1


@dataclasses.dataclass(frozen=True)
class Reach:
    """Of a mesh that root has started, where each workload has a uid of its own. Outside is
    another machine: no path leads anywhere from there.
    """

    declared: Declared
    mesh: Mesh

    def connects(self, position: str, listener: Listener) -> bool:
        """Whether the kernel lets a process at this position connect."""
        if position == OUTSIDE:
            gateways = [w.port for w in self.mesh.workloads.values() if w.kind == "gateway"]
            forwarded = [f"{self.mesh.address}:{port}" for port in gateways]
            return listener.kind == "tcp" and listener.address in forwarded
        if listener.kind == "unix":
            enters = self._enters(position, listener.address)
            return enters and self._may(position, listener, _WRITE)
        return True

    def reads(self, position: str, file: Place) -> bool:
        """Whether a process at this position can read a file."""
        return (
            position != OUTSIDE
            and self._enters(position, file.path)
            and self._may(position, file, _READ)
        )

    def named(self, open_to: Iterable[str]) -> set[str]:
        """The positions that the words of `open_to` mean."""
        found: set[str] = set()
        for word in open_to:
            if word == EVERYONE_INSIDE:
                found |= {INSIDE, OPERATOR, *self.mesh.workloads}
            elif word == ALL_WORKLOADS:
                found |= set(self.mesh.workloads)
            elif word == DATABASE_CLIENTS:
                found |= {w.name for w in self.mesh.workloads.values() if w.database}
            elif word in positions(self.mesh):
                found.add(word)
            else:
                raise ValueError(f"{word!r} is no position")
        return found

    def _enters(self, position: str, path: str) -> bool:
        above = {str(parent) for parent in PurePath(path).parents}
        return all(
            self._may(position, directory, _ENTER)
            for directory in self.declared.directories
            if directory.path in above
        )

    def _may(self, position: str, entry: Listener | Place, wanted: int) -> bool:
        """The kernel's rule: the owner's bits, else the group's, else everybody's."""
        shift = 0
        if entry.owner == position:
            shift = 6
        elif entry.group in self._groups(position):
            shift = 3
        return bool((entry.mode or 0) >> shift & wanted)

    def _groups(self, position: str) -> set[str]:
        if position not in self.mesh.workloads:
            return set()
        account = Accounts(self.mesh, separate=True).of(position)
        names = {self.mesh.agent_gid: AGENT_CLIENTS, self.mesh.database_gid: DATABASE_CLIENTS}
        return {position} | {names[group] for group in (account.groups if account else ())}
