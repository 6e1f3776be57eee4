"""Sockets and secrets: there, and closed to whoever they do not belong to."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from paymesh.checks import access
from paymesh.checks.model import Context, Finding, Section
from paymesh.mesh import Workload

_MEND = "run `paymesh down` and `paymesh up`: it sets owners and modes; find out who changed them"
_section = Section("sockets")


def check(context: Context) -> Iterator[Finding]:
    """Yields two findings for each workload and one for what only the supervisor reads."""
    for workload in context.mesh.sidecars():
        yield _present(context, workload)
        yield _closed(context, workload)
    yield _secrets(context)


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
