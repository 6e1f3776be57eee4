"""Sockets and secrets: there, and closed to whoever they do not belong to."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from paymesh.attack.inventory import Inventory
from paymesh.checks import access
from paymesh.checks.model import Context, Finding, Section
from paymesh.mesh import Workload, repository_root

_MEND = "run `paymesh down` and `paymesh up`: it sets owners and modes; find out who changed them"
_MEND_LISTENER = (
    "find out who opened it and end it; what belongs there is declared in"
    " deploy/attack/inventory.yaml, with its reason"
)
_MOST_SHOWN = 3
_section = Section("sockets")


def check(context: Context) -> Iterator[Finding]:
    """Yields two findings for each workload, one for what only the supervisor reads, and two
    on the whole mesh against its inventory.
    """
    for workload in context.mesh.sidecars():
        yield _present(context, workload)
        yield _closed(context, workload)
    yield _secrets(context)
    yield from _inventory(context)


def _inventory(context: Context) -> Iterator[Finding]:
    inventory = Inventory.load(repository_root(), context.mesh)
    name = "everything that listens is in the inventory"
    found, unseen = inventory.undeclared(context.paths), inventory.unseen(context.paths)
    if unseen and not found:
        yield _section.warning(name, unseen[0], "run `paymesh check` as root")
    else:
        problem = f"nobody declared {_some(found)}" if found else None
        yield _section.expect(name, problem, _MEND_LISTENER)
    wrong = inventory.wrong(context.paths)
    yield _section.expect(
        "sockets, directories and keys are as the inventory has them",
        _some(wrong) if wrong else None,
        _MEND,
    )


def _some(found: Sequence[object]) -> str:
    shown = "; ".join(str(one) for one in found[:_MOST_SHOWN])
    left = len(found) - _MOST_SHOWN
    return f"{shown}; and {left} more" if left > 0 else shown


def _sockets(workload: Workload) -> list[str]:
    names = ["admin.sock"]
    if workload.kind == "service":
        names += ["app.sock", "authz.sock", "outbound.sock"]
    if workload.egress:
        names.append("egress.sock")
    return names


def _present(context: Context, workload: Workload) -> Finding:
    directory = context.paths.workload(workload.name)
    missing = [name for name in _sockets(workload) if not (directory / name).is_socket()]
    return _section.expect(
        f"{workload.name} has its sockets",
        f"{', '.join(missing)} missing in {directory}" if missing else None,
        "see `paymesh status`; `paymesh up` starts what is not running",
    )


def _closed(context: Context, workload: Workload) -> Finding:
    name = f"{workload.name}'s directory is closed to everybody else"
    directory = context.paths.workload(workload.name)
    found = directory.stat()
    if stat.S_IMODE(found.st_mode) & 0o077:
        return _section.problem(
            name, f"{directory} has mode {stat.S_IMODE(found.st_mode):04o}", _MEND
        )
    if not context.separate_uids:
        return _section.ok(name)
    owner = context.mesh.uid(workload.name)
    if found.st_uid != owner:
        return _section.problem(name, f"{directory} belongs to uid {found.st_uid}", _MEND)
    for other in context.mesh.workloads:
        reached = other != workload.name and access.may_write(
            directory / "admin.sock", context.mesh.uid(other)
        )
        if reached:
            return _section.problem(name, f"{other} can reach its sockets", _MEND)
    return _section.ok(name)


def _secrets(context: Context) -> Finding:
    open_to_others = [
        str(path)
        for directory in (context.paths.secrets, context.paths.issuer)
        for path in (directory, *directory.rglob("*"))
        if _is_open(path)
    ]
    return _section.expect(
        "keys and passwords are readable by their owner only",
        f"open to others: {', '.join(open_to_others[:3])}" if open_to_others else None,
        _MEND,
    )


def _is_open(path: Path) -> bool:
    # Public halves stand beside private keys, in directories that are closed.
    return path.suffix not in {".crt", ".json"} and bool(path.stat().st_mode & 0o077)
