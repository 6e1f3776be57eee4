"""The machine: under which uid each position runs, and what this may open there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from paymesh.attack.computed.site import Entry, Site
from paymesh.attack.model import INSIDE, OPERATOR, OUTSIDE
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh

_READ, _WRITE, _ENTER = 4, 2, 1
_ROOT = 0
# No workload's and no process's: uids that nothing in the inventory can have.
_STRANGERS = {OUTSIDE: -1, INSIDE: -2, OPERATOR: -3}
_POSTGRES = -4


@dataclasses.dataclass(frozen=True)
class Account:
    """A uid with all its groups. Who is not `is_here` is on another machine: sockets and files
    are out of reach, whatever their modes.
    """

    uid: int
    groups: frozenset[int]
    is_here: bool = True


@dataclasses.dataclass(frozen=True)
class Node:
    """A file, directory or socket: owner, group, permission bits, what can be had from it."""

    uid: int
    gid: int
    mode: int
    holds: tuple[str, ...] = ()

    def allows(self, account: Account, bits: int) -> bool:
        """Whether the account has all these permissions (path_resolution(7))."""
        if account.uid == _ROOT:
            return True
        if account.uid == self.uid:
            own = self.mode >> 6
        elif self.gid in account.groups:
            own = self.mode >> 3
        else:
            own = self.mode
        return own & bits == bits


class Machine:
    """What the inventory declares below the mesh's home; paths are relative to that."""

    def __init__(self, site: Site) -> None:
        self._mesh = site.mesh
        self._entries = site.entries
        self._directories = dict(_nodes(site, "directories", "path"))
        self._sockets = dict(_nodes(site, "listeners", "unix"))
        self._files = dict(_nodes(site, "files", "path"))

    def account(self, position: str) -> Account:
        """Of a position or an Envoy. Which groups a workload is in stands in
        deploy/paymesh/runtime/accounts.py.
        """
        if position in _STRANGERS:
            uid = _STRANGERS[position]
            return Account(uid, frozenset({uid}), is_here=position != OUTSIDE)
        workload = self._mesh.workloads[position]
        uid = self._mesh.uid(position)
        groups = {uid, self._mesh.agent_gid}
        if workload.database:
            groups.add(self._mesh.database_gid)
        return Account(uid, frozenset(groups))

    def may_connect(self, account: Account, path: str, mode: int | None = None) -> bool:
        """Whether the account may connect to a socket.

        Args:
            account: whose.
            path: below the home.
            mode: of the socket where something else than the inventory says it.

        Raises:
            ConfigError: the inventory does not have it.
        """
        node = self._sockets.get(path)
        if node is None:
            raise ConfigError(f"deploy/attack/inventory.yaml has no socket {path}")
        if mode is not None:
            node = dataclasses.replace(node, mode=mode)
        is_open = account.is_here and node.allows(account, _WRITE)
        return is_open and self._may_enter(account, path)

    def can_get(self, account: Account, what: str) -> bool:
        """Whether a file that holds this is somebody else's and may be read.

        A key in one's own directory is counted as a credential of its own.
        """
        return account.is_here and any(
            what in node.holds
            and node.uid != account.uid
            and node.allows(account, _READ)
            and self._may_enter(account, path)
            for path, node in self._files.items()
        )

    def identities(self, account: Account) -> list[Entry]:
        """What SPIRE's agent gives to a process of this account (its unix attestor)."""
        facts = {("unix", f"uid:{account.uid}")}
        facts |= {("unix", f"{kind}:{gid}") for gid in account.groups for kind in _GROUP_SELECTORS}
        for entry in self._entries:
            if any(not _is_known(selector) for selector in entry.selectors):
                raise ConfigError(f"the entry of {entry.spiffe_id} has selectors nobody knows here")
        return [entry for entry in self._entries if entry.selectors and entry.selectors <= facts]

    def _may_enter(self, account: Account, path: str) -> bool:
        above = [str(parent) for parent in PurePosixPath(path).parents]
        missing = [name for name in above if name not in self._directories]
        if missing:
            raise ConfigError(f"deploy/attack/inventory.yaml has no directory {missing[0]}")
        return all(self._directories[name].allows(account, _ENTER) for name in above)


_GROUP_SELECTORS = ("gid", "supplementary_gid")


def _is_known(selector: tuple[str, str]) -> bool:
    kind, value = selector
    return kind == "unix" and value.partition(":")[0] in {"uid", *_GROUP_SELECTORS}


def _nodes(site: Site, section: str, key: str) -> Iterator[tuple[str, Node]]:
    for line in site.inventory.get(section, ()):
        if key not in line:
            continue
        for names in _each(site.mesh, line.get("each")):
            filled = {name: _filled(line.get(name), names) for name in (key, "owner", "group")}
            holds = tuple(_filled(one, names) for one in line.get("holds", ()))
            yield (
                str(PurePosixPath(filled[key])),
                Node(
                    _uid(site.mesh, filled["owner"]),
                    _gid(site.mesh, filled["group"]),
                    int(str(line["mode"]), 8),
                    holds,
                ),
            )


def _filled(text: Any, names: Mapping[str, str]) -> str:
    found = str(text)
    for name, value in names.items():
        found = found.replace(f"{{{name}}}", value)
    return found


def _each(mesh: Mesh, each: str | None) -> list[dict[str, str]]:
    """What stands in the placeholders of a line, once for each time that it stands for."""
    workloads = list(mesh.workloads.values())
    some = {
        "workloads": workloads,
        "services": mesh.services(),
        "sidecars": mesh.sidecars(),
        "gateways": [workload for workload in workloads if workload.kind == "gateway"],
        "databases": [workload for workload in workloads if workload.database],
        "egress": [workload for workload in workloads if workload.egress],
    }
    if each is None:
        return [{}]
    if each == "externals":
        return [{"external": name} for name in mesh.external]
    if each == "providers":
        return [{"workload": w.name, "external": name} for w in workloads for name in w.egress]
    if each not in some:
        raise ConfigError(f"deploy/attack/inventory.yaml: nobody knows `each: {each}`")
    return [{"workload": w.name, "database": w.database or ""} for w in some[each]]


def _uid(mesh: Mesh, name: str) -> int:
    if name in mesh.workloads or name in mesh.platform:
        return mesh.uid(name)
    if name in {"root", "postgres"}:
        return _ROOT if name == "root" else _POSTGRES
    raise ConfigError(f"deploy/attack/inventory.yaml: there is no account {name!r}")


def _gid(mesh: Mesh, name: str) -> int:
    groups = {"spire-agent clients": mesh.agent_gid, "database clients": mesh.database_gid}
    return groups[name] if name in groups else _uid(mesh, name)
