"""PostgreSQL on a Unix socket: its files, roles and databases.

No TCP. A role reaches its own database by password and nothing else; the
administrator is who runs the server, by peer. Its configuration stands outside
the data directory, where the server cannot change it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pwd
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from paymesh.errors import SetupError, StartError
from paymesh.mesh import repository_root
from paymesh.paths import Paths
from paymesh.runtime.accounts import POSTGRES
from paymesh.runtime.files import write_file
from paymesh.runtime.launch import run_tool
from paymesh.runtime.postgres_settings import (
    ADMINISTRATOR,
    configuration,
    database_names,
    host_based_access,
    owner_of,
    roles_of,
    roles_sql,
)
from paymesh.runtime.workspace import Workspace, dsn


class Postgres:
    """The server of one home."""

    def __init__(
        self, workspace: Workspace, programs: Path, python: Mapping[str, str] | None = None
    ) -> None:
        """Args:
        workspace: of the home.
        programs: directory with postgres, initdb and psql.
        python: environment of the interpreter that runs migrations.
        """
        self._workspace = workspace
        self._programs = programs
        self._python = python or {}
        self._account = workspace.accounts.of(POSTGRES)
        paths = workspace.paths
        self.data = paths.data / POSTGRES / "cluster"
        self.directory = paths.workload(POSTGRES)

    @property
    def socket(self) -> Path:
        """The server's only door."""
        return self.directory / ".s.PGSQL.5432"

    def argv(self) -> list[str | Path]:
        """How the server is started; SIGINT stops it without waiting for clients."""
        return [
            self._programs / "postgres",
            *("-D", self.data),
            *("-c", f"config_file={self.directory / 'postgresql.conf'}"),
        ]

    async def probe(self) -> str | None:
        """None when the server answers queries: it says so in postmaster.pid, last line."""
        try:
            lines = (self.data / "postmaster.pid").read_text("ascii").splitlines()
        except OSError:
            return "no postmaster.pid yet"
        return None if lines and lines[-1].strip() == "ready" else "recovering"

    async def prepare(self) -> None:
        """Makes the cluster at the first call; writes the configuration at each.

        Raises:
            StartError: initdb refused.
        """
        if not (self.data / "PG_VERSION").exists():
            await self._initialize()
        self._remove_stale_lock()
        owner = self._account
        gid = self._workspace.mesh.database_gid if owner else None
        write_file(
            self.directory / "postgresql.conf",
            configuration(self.directory, self._workspace.paths.logs, gid),
            0o400,
            owner,
        )
        databases = database_names(self._workspace.mesh)
        write_file(self.directory / "pg_hba.conf", host_based_access(databases), 0o400, owner)
        system_user = pwd.getpwuid(owner.uid if owner else os.geteuid()).pw_name
        write_file(
            self.directory / "pg_ident.conf",
            f'admin "{system_user}" {ADMINISTRATOR}\n',
            0o400,
            owner,
        )

    async def _initialize(self) -> None:
        # A kill in the middle must not leave something that looks finished.
        scratch = self.data.with_name("cluster.new")
        shutil.rmtree(scratch, ignore_errors=True)
        locales = ("C.UTF-8", "C")
        for locale in locales:
            try:
                await run_tool(
                    [
                        self._programs / "initdb",
                        *("--pgdata", scratch),
                        *("--username", ADMINISTRATOR),
                        *("--encoding", "UTF8"),
                        *("--locale", locale),
                        "--data-checksums",
                        *("--auth-local", "peer"),
                        *("--auth-host", "reject"),
                    ],
                    self._account,
                    directory=self.directory,
                )
                break
            except StartError as error:
                if locale == locales[-1] or "locale" not in str(error):
                    raise
                shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        self._applied_file.unlink(missing_ok=True)
        scratch.rename(self.data)

    def _remove_stale_lock(self) -> None:
        """Removes postmaster.pid when its process is not this cluster's: the server
        itself is fooled by a number that somebody else has by now.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text("ascii").splitlines()[0])
            if Path(f"/proc/{pid}/cwd").resolve(strict=True) == self.data.resolve():
                return
        except (OSError, ValueError, IndexError):
            pass
        lock.unlink(missing_ok=True)

    async def ensure_roles(self) -> None:
        """Creates roles and databases that are missing and sets what they may do.

        Raises:
            StartError: the server refused.
        """
        names = database_names(self._workspace.mesh)
        passwords = {
            role: self._workspace.password(role) for name in names for role in roles_of(name)
        }
        await self._psql(roles_sql(names, passwords))

    async def _psql(self, script: str) -> None:
        await run_tool(
            [
                self._programs / "psql",
                *("--no-psqlrc", "--quiet", "--tuples-only", "--set", "ON_ERROR_STOP=1"),
                *("--host", self.directory),
                *("--username", ADMINISTRATOR),
                *("--dbname", "postgres"),
                *("--file", "-"),
            ],
            self._account,
            directory=self.directory,
            stdin=script,
        )

    async def migrate(self) -> None:
        """Applies each service's migrations as the owner of its database, unless these
        very files were applied to this very cluster before.

        Raises:
            StartError: a migration failed; the text names it.
        """
        mesh = self._workspace.mesh
        pending = []
        for workload in mesh.services():
            directory = repository_root() / "services" / workload.module / "migrations"
            if workload.database and directory.is_dir():
                pending.append((workload.name, workload.database, directory))
        state = {database: _digest(directory) for _, database, directory in pending}
        if self._applied() == state:
            return
        await asyncio.gather(*(self._migrate(*migration) for migration in pending))
        write_file(self._applied_file, json.dumps(state) + "\n", 0o600)

    @property
    def _applied_file(self) -> Path:
        return self._workspace.paths.data / "migrations.json"

    def _applied(self) -> object:
        try:
            return json.loads(self._applied_file.read_text("utf-8"))
        except (OSError, ValueError):
            return None

    async def _migrate(self, name: str, database: str, directory: Path) -> None:
        owner = owner_of(database)
        password = self._workspace.password(owner)
        try:
            await run_tool(
                # A process of its own: gRPC comes with meshkit, and has no place in one that forks.
                [sys.executable, "-m", "meshkit.migrate", directory, "--dsn-file", "-"],
                None,
                directory=self._workspace.paths.secrets,
                stdin=dsn(self._workspace.paths, database, owner, password) + "\n",
                environment=self._python,
            )
        except StartError as error:
            raise StartError(f"{name}: migrations failed: {error}") from error


def data_major(paths: Paths) -> int | None:
    """The version of PostgreSQL that wrote this home's data; None when there is none."""
    try:
        text = (paths.data / POSTGRES / "cluster" / "PG_VERSION").read_text("ascii")
    except OSError:
        return None
    if not text.strip().isdigit():
        raise SetupError(f"{paths.data / POSTGRES} is damaged: run `paymesh down --purge`")
    return int(text)


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.sql")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
