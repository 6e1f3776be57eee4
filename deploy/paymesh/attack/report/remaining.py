"""`deploy/attack/remaining.yaml`: why each edge of arm E must be there (M5).

A reason is a pattern over states and targets with a sentence. Its fields are lists; a cell
matches when each field has an entry that does:

    position    a position, or a kind of workload: `gateway`, `service`, `job`
    identity    `none`, `own`, `live`, `expired`, `foreign`, or one, as `live:ledger`
    credential  `none`, `user`, `database`, ..., or one, as `user:alice`
    destination, method   of the target; `*` in one stands for any text
    grants      instead of both: ids of grants, whose RPCs are meant and whose own reasons count too
    why         the sentence

`{position}` and `{database}` stand for the cell's position and that workload's database, and
where there are grants `{caller}` for the grant's caller. The first reason that matches is the
edge's. A reason without an edge is wrong, and so is an entry of a list that no edge needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from paymesh.attack.model import Cell, Graph
from paymesh.errors import ConfigError
from paymesh.grants import Grant, Grants
from paymesh.mesh import Mesh, read_yaml

FILE = Path("deploy/attack/remaining.yaml")
_STATE_FIELDS = ("position", "identity", "credential")
_TARGET_FIELDS = ("destination", "method")
_FIELDS = (*_STATE_FIELDS, *_TARGET_FIELDS, "grants")


@dataclasses.dataclass(frozen=True)
class Reason:
    """One entry of the file. `number` counts from 1; `fields` are those of the file."""

    number: int
    fields: dict[str, tuple[str, ...]]
    why: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"reason {self.number} ({self.why})"


@dataclasses.dataclass(frozen=True)
class Explained:
    """An edge and why it must be there; of an RPC that a grant allows also the grant's id and
    its own reason.
    """

    cell: Cell
    why: str
    grant: str = ""
    grant_why: str = ""


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What came of matching.

    Attributes:
        edges: those with a reason, sorted.
        without: edges without one, sorted.
        unused: sentences about reasons, and parts of them, that no edge needs.
    """

    edges: tuple[Explained, ...]
    without: tuple[Cell, ...]
    unused: tuple[str, ...]


def load(root: Path) -> tuple[Reason, ...]:
    """Reads the file below `root`.

    Raises:
        ConfigError: it says something that is no reason.
    """
    raw = read_yaml(root / FILE)
    if not isinstance(raw, dict) or set(raw) != {"reasons"} or not isinstance(raw["reasons"], list):
        raise ConfigError(f"{FILE} must hold `reasons:`, a list, and nothing else")
    return tuple(_reason(entry, number) for number, entry in enumerate(raw["reasons"], start=1))


def _reason(entry: Any, number: int) -> Reason:
    where = f"{FILE}: reason {number}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is no mapping")
    if extra := sorted(set(map(str, entry)) - {*_FIELDS, "why"}):
        raise ConfigError(f"{where} has {', '.join(extra)}, which means nothing here: remove it")
    target = ("grants",) if "grants" in entry else _TARGET_FIELDS
    if "grants" in entry and set(_TARGET_FIELDS) & set(entry):
        raise ConfigError(f"{where} has grants: they say destination and method, leave both out")
    fields = {}
    for name in (*_STATE_FIELDS, *target):
        value = entry.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise ConfigError(f"{where} lacks `{name}`, a list of texts")
        fields[name] = tuple(value)
    why = entry.get("why", "")
    if not isinstance(why, str) or not why.strip():
        raise ConfigError(f"{where} lacks `why`, a sentence")
    return Reason(number, fields, why.strip())


def explain(mesh: Mesh, grants: Grants, reasons: Sequence[Reason], graph: Graph) -> Explanation:
    """Gives each edge its reason, the first that matches."""
    edges, without = [], []
    used: set[tuple[int, str, str]] = set()
    for cell in sorted(graph):
        for reason in reasons:
            found = next(_matches(mesh, grants, reason, cell), None)
            if found is not None:
                grant, entries = found
                used |= {(reason.number, field, entry) for field, entry in entries}
                edges.append(
                    Explained(cell, reason.why, grant.id, grant.why)
                    if grant
                    else Explained(cell, reason.why)
                )
                break
        else:
            without.append(cell)
    return Explanation(tuple(edges), tuple(without), tuple(_unused(reasons, used)))


def _unused(reasons: Iterable[Reason], used: set[tuple[int, str, str]]) -> Iterator[str]:
    for reason in reasons:
        missing = [
            f"`{entry}` of {field}"
            for field, entries in reason.fields.items()
            for entry in entries
            if (reason.number, field, entry) not in used
        ]
        if all(number != reason.number for number, _, _ in used):
            yield f"{reason.name} is the reason of no edge"
        elif missing:
            yield f"{reason.name}: no edge needs {', '.join(missing)}"


def _matches(
    mesh: Mesh, grants: Grants, reason: Reason, cell: Cell
) -> Iterator[tuple[Grant | None, list[tuple[str, str]]]]:
    """The ways in which a reason matches a cell: the grant, and the entry of each field."""
    state, target = cell.state, cell.target
    workload = mesh.workloads.get(state.position)
    names = {"position": state.position, "database": (workload and workload.database) or "\0"}
    if "grants" not in reason.fields:
        values = (*_of_state(mesh, cell), (target.destination,), (target.method,))
        entries = _entries(reason, (*_STATE_FIELDS, *_TARGET_FIELDS), values, names)
        if entries:
            yield None, entries
        return
    for grant in grants.grants:
        if grant.rpc == target.method:
            values = (*_of_state(mesh, cell), (grant.id,))
            own = {**names, "caller": grant.caller}
            entries = _entries(reason, (*_STATE_FIELDS, "grants"), values, own)
            if entries:
                yield grant, entries


def _of_state(mesh: Mesh, cell: Cell) -> tuple[tuple[str, ...], ...]:
    """What an entry about position, identity and credential may say of it."""
    state = cell.state
    kind = state.credential.partition(":")[0]
    workload = mesh.workloads.get(state.position)
    return (
        (state.position, *([workload.kind] if workload else [])),
        (state.identity, state.identity_kind),
        (state.credential, kind),
    )


def _entries(
    reason: Reason,
    fields: Sequence[str],
    values: Sequence[tuple[str, ...]],
    names: dict[str, str],
) -> list[tuple[str, str]] | None:
    """For each field the first entry that matches; None when a field has none."""
    found = []
    for field, accepted in zip(fields, values, strict=True):
        for entry in reason.fields[field]:
            pattern = entry
            for name, value in names.items():
                pattern = pattern.replace(f"{{{name}}}", value)
            if any(fnmatchcase(value, pattern) for value in accepted):
                found.append((field, entry))
                break
        else:
            return None
    return found
