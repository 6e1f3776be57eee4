"""The inventory and the running mesh, one against the other."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from paymesh.attack.inventory.declared import Declared, Listener, read
from paymesh.attack.inventory.owners import Wrong, differences
from paymesh.attack.inventory.procfs import Procfs
from paymesh.attack.inventory.reach import Reach
from paymesh.attack.inventory.search import Found, Listening, search
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths
from paymesh.runtime import lifecycle

# What ends or begins while it is looked at is not there the second time.
_AGAIN_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What deploy/attack/inventory.yaml of a checkout declares."""

    declared: Declared
    mesh: Mesh
    procfs: Procfs = dataclasses.field(default_factory=Procfs)

    @classmethod
    def load(cls, root: Path, mesh: Mesh | None = None) -> Inventory:
        """Reads a checkout's.

        Args:
            root: the checkout, or a copy.
            mesh: of the same checkout; read from it, at PAYMESH_PORT_OFFSET, when left out.

        Raises:
            ConfigError: it cannot be read, or says something impossible.
        """
        found = mesh or load_mesh(root)
        return cls(read(root, found), found)

    @property
    def reach(self) -> Reach:
        """Who can connect to what, by what is declared."""
        return Reach(self.declared, self.mesh)

    def undeclared(self, paths: Paths, mesh: Mesh | None = None) -> list[Listening]:
        """Whatever listens in the running mesh, or is a socket in its directories, and is
        not declared: another address, or the address of another process.

        Raises:
            ConfigError: the mesh belongs to another user.
        """
        first = self._undeclared(paths, self._search(paths, mesh))
        if not first:
            return []
        time.sleep(_AGAIN_SECONDS)
        still = self._undeclared(paths, self._search(paths, mesh))
        return [one for one in still if one in first]

    def missing(self, paths: Paths, mesh: Mesh | None = None) -> list[Listener]:
        """What is declared and does not listen.

        Raises:
            ConfigError: the mesh belongs to another user.
        """
        found = {self._key(one) for one in self._search(paths, mesh).listening}
        return [one for one in self.declared.listeners if self._key_of(paths, one) not in found]

    def wrong(self, paths: Paths, mesh: Mesh | None = None) -> list[Wrong]:
        """Sockets, directories and files with another owner, group or mode than is declared,
        and what others can read without its being declared.
        """
        return list(differences(self.declared, paths, mesh or self.mesh))

    def unseen(self, paths: Paths, mesh: Mesh | None = None) -> tuple[str, ...]:
        """Sentences on what could not be looked at: other users' processes, without root."""
        return self._search(paths, mesh).unseen

    def _search(self, paths: Paths, mesh: Mesh | None) -> Found:
        return search(paths, mesh or self.mesh, lifecycle.running(paths), self.procfs)

    def _undeclared(self, paths: Paths, found: Found) -> list[Listening]:
        known = {self._key_of(paths, one) for one in self.declared.listeners}
        sockets = {address for process, kind, address in known if kind == "unix"}
        return [
            one
            for one in found.listening
            # A file that nobody has open is a leftover of what is declared, or nothing.
            if self._key(one) not in known and not (one.inode == 0 and one.address in sockets)
        ]

    @staticmethod
    def _key(one: Listening) -> tuple[str | None, str, str]:
        return one.process, one.kind, one.address

    @staticmethod
    def _key_of(paths: Paths, one: Listener) -> tuple[str | None, str, str]:
        home = os.path.realpath(paths.home)
        return one.process, one.kind, f"{home}/{one.address}" if one.kind == "unix" else one.address
