"""The uids of whoever is no part of the mesh."""

from __future__ import annotations

from paymesh.attack.model import INSIDE, OPERATOR, OUTSIDE
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh

FORWARDER = "the perimeter's forwarder"
THIEF = "who uses what was stolen until after its end"

# Above every workload's and platform process's offset, below the databases' group.
_OFFSETS = {THIEF: 93, FORWARDER: 95, INSIDE: 96, OPERATOR: 97, OUTSIDE: 98}


def stranger_uid(mesh: Mesh, name: str) -> int:
    """The uid, and gid, of a position that is no workload, of the forwarder or of the thief.

    Raises:
        ConfigError: there is none of this name, or deploy/mesh.yaml gave its uid away.
    """
    if name not in _OFFSETS:
        known = ", ".join((INSIDE, OPERATOR, OUTSIDE, *mesh.workloads))
        raise ConfigError(f"there is no position {name!r}; there are {known}")
    uid = mesh.uid_base + _OFFSETS[name]
    taken = next((n for n in (*mesh.workloads, *mesh.platform) if mesh.uid(n) == uid), None)
    if taken is not None:
        raise ConfigError(
            f"{taken} has uid_offset {_OFFSETS[name]} in deploy/mesh.yaml, which is kept"
            f" for {name!r}: give it another"
        )
    return uid
