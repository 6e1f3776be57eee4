"""deploy/attack/inventory.yaml, parsed, with what stands once for each workload written out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, read_yaml

FILE = "deploy/attack/inventory.yaml"

Kind = Literal["tcp", "udp", "unix", "abstract"]
_KINDS: tuple[Kind, ...] = ("tcp", "udp", "unix", "abstract")

ROOT, POSTGRES = "root", "postgres"
AGENT_CLIENTS, DATABASE_CLIENTS = "spire-agent clients", "database clients"


@dataclasses.dataclass(frozen=True)
class Listener:
    """One thing that listens.

    Attributes:
        process: as `paymesh status` names it, or `supervisor`.
        kind: of socket.
        address: `127.0.0.1:18501`, a path below PAYMESH_HOME, or an abstract name.
        owner: whose uid it has.
        group: of the file; empty for what is no file.
        mode: of the file; None for what is no file.
        open_to: who can connect, in the file's words.
        leads_to: destinations of docs/attack-paths.md.
        speaks: what protocol, to whom.
        why: it is there.
    """

    process: str
    kind: Kind
    address: str
    owner: str
    group: str
    mode: int | None
    open_to: tuple[str, ...]
    leads_to: tuple[str, ...]
    speaks: str
    why: str


@dataclasses.dataclass(frozen=True)
class Place:
    """A directory, or a file; a path may have `*` in its last part. `holds` is what a
    file's content opens.
    """

    path: str
    owner: str
    group: str
    mode: int
    holds: tuple[str, ...]
    why: str


@dataclasses.dataclass(frozen=True)
class Declared:
    """The whole file."""

    listeners: tuple[Listener, ...]
    directories: tuple[Place, ...]
    files: tuple[Place, ...]


def read(root: Path, mesh: Mesh) -> Declared:
    """Parses the file of a checkout.

    Args:
        root: the checkout.
        mesh: of the same checkout: its workloads and ports.

    Raises:
        ConfigError: it cannot be read, or says something impossible.
    """
    path = root / FILE
    raw = read_yaml(path)
    try:
        found = Declared(
            tuple(_listener(entry, mesh) for entry in _each(raw["listeners"], mesh)),
            tuple(_place(entry) for entry in _each(raw["directories"], mesh)),
            tuple(_place(entry) for entry in _each(raw["files"], mesh)),
        )
        _check(found, mesh)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error
    return found


def _each(entries: list[dict[str, Any]], mesh: Mesh) -> Iterator[dict[str, Any]]:
    for entry in entries:
        plain = {key: value for key, value in entry.items() if key != "each"}
        for names in _placeholders(mesh)[entry["each"]] if "each" in entry else [{}]:
            yield {key: _filled(value, names) for key, value in plain.items()}


def _placeholders(mesh: Mesh) -> dict[str, list[dict[str, str]]]:
    workloads = list(mesh.workloads.values())
    return {
        "workloads": [{"workload": w.name} for w in workloads],
        "gateways": [{"workload": w.name} for w in workloads if w.kind == "gateway"],
        "services": [{"workload": w.name} for w in mesh.services()],
        "sidecars": [{"workload": w.name} for w in mesh.sidecars()],
        "databases": [
            {"workload": w.name, "database": w.database} for w in workloads if w.database
        ],
        "egress": [{"workload": w.name} for w in workloads if w.egress],
        "providers": [{"workload": w.name, "external": e} for w in workloads for e in w.egress],
        "externals": [{"external": name} for name in mesh.external],
    }


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return value.format_map(names) if isinstance(value, str) and "{" in value else value


def _listener(entry: dict[str, Any], mesh: Mesh) -> Listener:
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        raise ValueError(f"{entry} has to have exactly one of {', '.join(_KINDS)}")
    kind, address = kinds[0], str(entry[kinds[0]])
    if kind in {"tcp", "udp"}:
        address = f"{mesh.address}:{_port(address, mesh)}"
    mode = entry["mode"] if kind == "unix" else None
    return Listener(
        process=entry["process"],
        kind=kind,
        address=address,
        owner=entry["owner"],
        group=entry["group"] if kind == "unix" else "",
        mode=None if mode is None else int(mode, 8),
        open_to=tuple(entry["open_to"]),
        leads_to=tuple(entry["leads_to"]),
        speaks=entry["speaks"],
        why=entry["why"],
    )


def _port(name: str, mesh: Mesh) -> int:
    """A port by where it stands in deploy/mesh.yaml."""
    parts = name.split(".")
    found = None
    if parts[:2] == ["local", "ports"]:
        found = mesh.ports[parts[2]]
    elif parts[0] == "workloads" and parts[2] in {"port", "pdp_port"}:
        workload = mesh.workloads[parts[1]]
        found = workload.port if parts[2] == "port" else workload.pdp_port
    if found is None:
        raise ValueError(f"{name} is no port of deploy/mesh.yaml")
    return found


def _place(entry: dict[str, Any]) -> Place:
    return Place(
        path=entry["path"],
        owner=entry["owner"],
        group=entry["group"],
        mode=int(entry["mode"], 8),
        holds=tuple(entry.get("holds", ())),
        why=entry["why"],
    )


def _check(found: Declared, mesh: Mesh) -> None:
    owners = {ROOT, POSTGRES, *mesh.workloads, *mesh.platform}
    groups = {*owners, AGENT_CLIENTS, DATABASE_CLIENTS}
    directories = {place.path for place in found.directories}
    entries: list[Listener | Place] = [*found.listeners, *found.directories, *found.files]
    for entry in entries:
        what = entry.address if isinstance(entry, Listener) else entry.path
        if entry.owner not in owners:
            raise ValueError(f"{what}: there is no owner {entry.owner!r}")
        if entry.group not in groups and not (isinstance(entry, Listener) and entry.mode is None):
            raise ValueError(f"{what}: there is no group {entry.group!r}")
        if isinstance(entry, Place) or entry.kind == "unix":
            above = [str(parent) for parent in Path(what).parents]
            if missing := [path for path in above if path not in directories]:
                raise ValueError(f"{what}: the directory {missing[0]} is not declared")
