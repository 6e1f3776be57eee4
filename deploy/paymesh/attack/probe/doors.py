"""Where each Envoy listens, as the arm's own files say: a door that somebody adds is tried too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paymesh.attack.probe.agent.plan import Address
from paymesh.mesh import Mesh, read_yaml
from paymesh.paths import Paths

_EGRESS = "egress"


@dataclasses.dataclass(frozen=True)
class Door:
    """One listener."""

    name: str
    address: Address

    @property
    def is_port(self) -> bool:
        """Whether it is on the network and no Unix socket."""
        return "tcp" in self.address


@dataclasses.dataclass(frozen=True)
class Envoy:
    """One workload's."""

    admin: Door
    listeners: tuple[Door, ...]

    @property
    def ports(self) -> list[Door]:
        """What it listens at on the network: ways in, and to nobody knows where."""
        return [door for door in self.listeners if door.is_port]

    @property
    def ways_out(self) -> list[Door]:
        """Sockets that lead to other workloads."""
        return [d for d in self.listeners if not d.is_port and d.name != _EGRESS]

    @property
    def egress(self) -> list[Door]:
        """What leads out of the mesh."""
        return [door for door in self.listeners if door.name == _EGRESS]


def envoys(root: Path, mesh: Mesh, paths: Paths) -> Mapping[str, Envoy]:
    """By workload, the doors of its Envoy.

    Args:
        root: the checkout that the mesh runs from.
        mesh: its workloads, and how far ports are moved.
        paths: of its home.

    Raises:
        ConfigError: a file cannot be read.
    """
    found = {}
    for workload in mesh.sidecars():
        document = read_yaml(root / "envoy" / f"{workload.name}.yaml")
        directory = paths.workload(workload.name)
        listeners = document["static_resources"]["listeners"]
        found[workload.name] = Envoy(
            Door("admin", _address(document["admin"]["address"], mesh, directory)),
            tuple(
                Door(listener["name"], _address(listener["address"], mesh, directory))
                for listener in listeners
            ),
        )
    return found


def _address(raw: Any, mesh: Mesh, directory: Path) -> Address:
    """Of Envoy's config.core.v3.Address; every port is moved by the mesh's offset."""
    if "pipe" in raw:
        return {"unix": str(directory / raw["pipe"]["path"])}
    found = raw["socket_address"]
    return {"tcp": (found["address"], found["port_value"] + mesh.port_offset)}
