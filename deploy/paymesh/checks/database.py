"""Database roles: each can do what its service does in its own database, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from paymesh.checks.model import Context, Finding, Section
from paymesh.runtime.files import read_regular
from paymesh.runtime.workspace import dsn

_TIMEOUT_SECONDS = 5
_LONGEST_DSN_BYTES = 4096
_DSN = "remove its file `dsn`, then `paymesh up`"
_section = Section("database")

# Tables in which a line, once written, stays as it is.
_APPEND_ONLY = {"ledger": ("entries", "transfers")}

FORBIDDEN = """
    SELECT privilege || ' on ' || relname
    FROM pg_class
    CROSS JOIN unnest(%(privileges)s::text[]) AS privilege
    WHERE relnamespace = 'public'::regnamespace
      AND relkind IN ('r', 'p')
      AND (%(tables)s::text[] IS NULL OR relname = ANY(%(tables)s::text[]))
      AND (has_table_privilege(oid, privilege)
           OR privilege = 'UPDATE' AND has_any_column_privilege(oid, privilege))
"""


def check(context: Context) -> Iterator[Finding]:
    """Yields findings for each service with a database."""
    owned = [workload for workload in context.mesh.services() if workload.database]
    databases = [workload.database or "" for workload in owned]
    for workload in owned:
        database = workload.database or ""
        try:
            conninfo = _given(context, database)
        except OSError as error:
            yield _section.problem(
                f"{workload.name} can reach its database",
                f"no password to try: {error}",
                "run `paymesh up`",
            )
            continue
        yield _has_its_own(context, workload.name, conninfo)
        yield _connects(workload.name, conninfo)
        yield _no_more_than_needed(workload.name, conninfo)
        others = [name for name in databases if name != workload.database]
        yield _no_other_database(workload.name, conninfo, others)


def _given(context: Context, database: str) -> str:
    """The connection string that the service was given, from the supervisor's own secrets: what
    stands in the service's file by now would be obeyed.
    """
    password = context.paths.password(database).read_text("ascii").strip()
    return dsn(context.paths, database, database, password)


def _has_its_own(context: Context, name: str, conninfo: str) -> Finding:
    path = context.paths.workload(name) / "dsn"
    try:
        found = read_regular(path, _LONGEST_DSN_BYTES)
    except OSError as error:
        problem: str | None = str(error)
    else:
        is_same = found.strip() == conninfo.encode()
        problem = None if is_same else f"{path} says something else than it was given"
    return _section.expect(f"{name} has its connection string", problem, _DSN)


def _connect(conninfo: str, database: str | None = None) -> psycopg.Connection[Any]:
    changed = {"dbname": database} if database else {}
    wanted = make_conninfo(conninfo, connect_timeout=_TIMEOUT_SECONDS, **changed)
    return psycopg.connect(wanted, autocommit=True)


def _connects(name: str, conninfo: str) -> Finding:
    title = f"{name} can reach its database"
    try:
        with _connect(conninfo) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return _section.problem(title, _first_line(error), "see `paymesh logs postgres`")
    return _section.ok(title)


def _no_more_than_needed(name: str, conninfo: str) -> Finding:
    title = f"{name}'s role cannot rewrite what it has written"
    found: list[str] = []
    try:
        with _connect(conninfo) as connection:
            for privileges, tables in unwanted(name):
                rows = connection.execute(FORBIDDEN, {"privileges": privileges, "tables": tables})
                found += [row[0] for row in rows]
    except psycopg.Error as error:
        return _section.problem(title, _first_line(error), "see `paymesh logs postgres`")
    return _section.expect(
        title,
        f"it has {', '.join(sorted(set(found)))}" if found else None,
        f"revoke it: compare with services/{name.replace('-', '_')}/migrations",
    )


def unwanted(name: str) -> list[tuple[list[str], list[str] | None]]:
    """Privileges that a service's role must not have, and on which tables; None: on any."""
    everywhere: tuple[list[str], list[str] | None] = (["DELETE", "TRUNCATE", "TRIGGER"], None)
    if name not in _APPEND_ONLY:
        return [everywhere]
    return [everywhere, (["UPDATE", "DELETE", "TRUNCATE"], list(_APPEND_ONLY[name]))]


def _no_other_database(name: str, conninfo: str, others: list[str]) -> Finding:
    title = f"{name}'s role cannot enter another service's database"
    for other in others:
        try:
            _connect(conninfo, other).close()
        except psycopg.Error:
            continue
        return _section.problem(
            title, f"it can enter {other}", "run `paymesh up`: it sets pg_hba.conf and the grants"
        )
    return _section.ok(title)


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
