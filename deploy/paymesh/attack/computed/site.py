"""The files of one checkout that the graph is computed from, read once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from paymesh.attack.computed.messages import read_messages
from paymesh.attack.model import Arm
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, load_mesh, read_yaml

Config = dict[str, Any]

DATABASE_DOOR = "database"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One registration entry: who matches all `selectors` is given this identity."""

    spiffe_id: str
    selectors: frozenset[tuple[str, str]]
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Site:
    """What the files say.

    Attributes:
        root: the checkout.
        mesh: with the ports that stand in the files.
        rpcs: workload → paths of what its app serves.
        envoys: workload → its Envoy's configuration.
        entries: SPIRE's.
        doors: kinds of ports that the arm opens beside what the mesh has.
        inventory: deploy/attack/inventory.yaml.
        messages: RPC → what is sent, as protojson.
    """

    root: Path
    mesh: Mesh
    rpcs: Mapping[str, tuple[str, ...]]
    envoys: Mapping[str, Config]
    entries: tuple[Entry, ...]
    doors: frozenset[str]
    inventory: Config
    messages: Mapping[str, tuple[str, ...]]


def read_site(root: Path, arm: Arm) -> Site:
    """Reads the files below `root`.

    Raises:
        ConfigError: one is missing, or is of another arm.
    """
    mesh = load_mesh(root, port_offset=0)
    return Site(
        root=root,
        mesh=mesh,
        rpcs=_rpcs(root, mesh),
        envoys={w.name: read_yaml(root / "envoy" / f"{w.name}.yaml") for w in mesh.sidecars()},
        entries=_entries(root / "spire" / "entries.json"),
        doors=_doors(root / "deploy" / "arm.yaml", arm),
        inventory=read_yaml(root / "deploy" / "attack" / "inventory.yaml"),
        messages=read_messages(root),
    )


def _doors(path: Path, arm: Arm) -> frozenset[str]:
    """A checkout without the file is as it is shipped."""
    if not path.exists():
        said: Config = {"arm": "E", "network_doors": []}
    else:
        said = read_yaml(path)
    doors = frozenset(said.get("network_doors", ()))
    if said.get("arm") != arm:
        raise ConfigError(f"{path} is of arm {said.get('arm')}, not of {arm}")
    if doors - {DATABASE_DOOR}:
        raise ConfigError(f"{path} opens doors that nobody knows: {', '.join(sorted(doors))}")
    return doors


def _entries(path: Path) -> tuple[Entry, ...]:
    try:
        return tuple(
            Entry(
                entry["spiffe_id"],
                frozenset((one["type"], str(one["value"])) for one in entry["selectors"]),
                tuple(entry.get("dns_names", ())),
            )
            for entry in json.loads(path.read_text("utf-8"))["entries"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error!r}") from error


def _rpcs(root: Path, mesh: Mesh) -> dict[str, tuple[str, ...]]:
    """A service's own RPCs, and those that belong to no workload (health, reflection): meshkit
    serves these in each app (services/meshkit/server.py).
    """
    path = root / "policies" / "descriptors.binpb"
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: run `make render`") from error
    found = [
        f"/{file.package}.{service.name}/{method.name}"
        for file in files
        for service in file.service
        for method in service.method
    ]
    everywhere = [rpc for rpc in found if mesh.service_of(rpc) is None]
    return {
        w.name: tuple(sorted([r for r in found if mesh.service_of(r) == w] + everywhere))
        for w in mesh.services()
    }


def at(value: Any, *path: str) -> Any:
    """The value at `path` in nested mappings, or None where it ends early."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def items(value: Any, *path: str) -> list[Any]:
    """The list at `path`; empty where there is none."""
    found = at(value, *path)
    return found if isinstance(found, list) else []
