"""The reviewers' file, `policies/paymesh/grants/data.yaml`, parsed into types."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, read_yaml, repository_root

_RPC = re.compile(r"/[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9]*/[A-Z][A-Za-z0-9]*")


@dataclasses.dataclass(frozen=True)
class Grant:
    """One line of `policies/paymesh/grants/data.yaml`."""

    id: str
    caller: str
    rpc: str
    conditions: tuple[str, ...]
    why: str


@dataclasses.dataclass(frozen=True)
class Grants:
    """The reviewers' file: what is granted and what is closed on purpose."""

    grants: tuple[Grant, ...]
    closed: Mapping[str, str]

    def callees(self, mesh: Mesh, caller: str) -> list[str]:
        """Workloads that `caller` has at least one grant to call, sorted."""
        return sorted({name for name, callers in self.edges(mesh).items() if caller in callers})

    def callers(self, mesh: Mesh, callee: str) -> list[str]:
        """Workloads with at least one grant to call `callee`, sorted."""
        return sorted(self.edges(mesh)[callee])

    def edges(self, mesh: Mesh) -> dict[str, set[str]]:
        """Callee → callers. Health belongs to no one service: its callers may
        ask every service that they may call anyway.
        """
        edges: dict[str, set[str]] = {workload.name: set() for workload in mesh.services()}
        for grant in self.grants:
            callee = mesh.service_of(grant.rpc)
            if callee is not None:
                edges[callee.name].add(grant.caller)
        return edges


def load_grants(root: Path | None = None) -> Grants:
    """Reads `policies/paymesh/grants/data.yaml` below `root`.

    Raises:
        ConfigError: as `parse_grants`, or it is no YAML.
    """
    path = (root or repository_root()) / "policies" / "paymesh" / "grants" / "data.yaml"
    return parse_grants(read_yaml(path), path)


def parse_grants(raw: Any, path: Path) -> Grants:
    """The reviewers' file, parsed as YAML.

    Args:
        raw: what stands in it.
        path: of the file, for what is said about it.

    Raises:
        ConfigError: a field is missing or no text, an id stands twice, an RPC is malformed
            or both granted and closed.
    """
    try:
        grants = tuple(_grant(line) for line in raw["grants"])
        closed = {_text(line, "rpc"): _text(line, "why") for line in raw["closed"]}
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error
    ids = Counter(grant.id for grant in grants)
    for problem in (
        *(f"grant id {i!r} stands twice" for i, count in ids.items() if count > 1),
        *(f"{rpc!r} is not /package.Service/Method" for rpc in _rpcs(grants, closed)),
        *(f"{g.rpc} is granted by {g.id} and closed" for g in grants if g.rpc in closed),
    ):
        raise ConfigError(f"{path}: {problem}")
    return Grants(grants, closed)


def _grant(line: Any) -> Grant:
    conditions = line["conditions"]
    if not isinstance(conditions, list) or not all(isinstance(name, str) for name in conditions):
        raise TypeError(f"conditions of {line.get('id')!r} is no list of names")
    id_, caller, rpc, why = (_text(line, field) for field in ("id", "caller", "rpc", "why"))
    return Grant(id_, caller, rpc, tuple(conditions), why)


def _text(line: Any, field: str) -> str:
    value = line[field]
    if not isinstance(value, str):
        raise TypeError(f"{field} {value!r} is no text: put it in quotes")
    return value


def _rpcs(grants: tuple[Grant, ...], closed: Mapping[str, str]) -> list[str]:
    rpcs = dict.fromkeys((*(grant.rpc for grant in grants), *closed))
    return [rpc for rpc in rpcs if not _RPC.fullmatch(rpc)]
