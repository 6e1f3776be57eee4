"""What PostgreSQL is told: its settings, who may enter, roles and databases.

Text only; `postgres` hands it to the server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from paymesh.errors import SetupError
from paymesh.mesh import Mesh

ADMINISTRATOR = "postgres"
SPIRE_DATABASE = "spire"
_SCRAM_ITERATIONS = 4096
_ROLE_OPTIONS = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS"
# Of one role. A process's pool has 8; in a cluster two pods, one that comes and some that
# still drain have one each.
CONNECTION_LIMIT = 20
CLUSTER_CONNECTION_LIMIT = 48
_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")


def database_names(mesh: Mesh) -> list[str]:
    """One database for each service that has one, and SPIRE's."""
    return [*service_databases(mesh), SPIRE_DATABASE]


def service_databases(mesh: Mesh) -> list[str]:
    """One database for each service that has one: all there are in a cluster, where
    SPIRE's server keeps its own on its own volume.
    """
    return [w.database for w in mesh.services() if w.database]


def owner_of(database: str) -> str:
    """The role that owns a database's schema and runs its migrations."""
    return f"{database}_owner"


def roles_of(database: str) -> tuple[str, ...]:
    """Who may connect to a database, its owner last. SPIRE's server migrates its own
    schema at start, so that its one role owns it.
    """
    return (database,) if database == SPIRE_DATABASE else (database, owner_of(database))


# Wherever the server runs: small and durable, and no values of ours in its log.
COMMON = """\
password_encryption = 'scram-sha-256'
shared_buffers = '32MB'
work_mem = '2MB'
maintenance_work_mem = '16MB'
max_wal_size = '256MB'
max_worker_processes = 2
max_parallel_workers = 0
max_parallel_workers_per_gather = 0
autovacuum_max_workers = 1
synchronous_commit = on
fsync = on
full_page_writes = on
dynamic_shared_memory_type = 'posix'
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %q%u@%d '
log_connections = off
log_min_messages = 'warning'
# A failed statement may hold what must not be in a log.
log_min_error_statement = 'panic'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
authentication_timeout = '5s'
idle_in_transaction_session_timeout = '60s'
"""


def configuration(directory: Path, logs: Path, gid: int | None) -> str:
    """postgresql.conf: small, durable, without TCP.

    Args:
        directory: of the socket and the access rules.
        logs: where the server's standard error goes; only named in a comment.
        gid: group of the socket; None leaves it to the server's own.
    """
    group = f"unix_socket_group = '{gid}'\nunix_socket_permissions = 0770\n" if gid else ""
    return f"""# Written by `paymesh up`. The log is {logs / "postgres.log"}.
listen_addresses = ''
unix_socket_directories = {_quoted(directory)}
{group or "unix_socket_permissions = 0700"}
hba_file = {_quoted(directory / "pg_hba.conf")}
ident_file = {_quoted(directory / "pg_ident.conf")}
max_connections = 60
{COMMON}"""


def _quoted(path: Path) -> str:
    """A string in postgresql.conf."""
    return "'" + str(path).replace("'", "''") + "'"


def host_based_access(databases: Iterable[str]) -> str:
    """pg_hba.conf: the first line that fits decides, and the last one refuses."""
    lines = ["# Written by `paymesh up`.", f"local all {ADMINISTRATOR} peer map=admin"]
    for name in databases:
        lines += [f"local {name} {role} scram-sha-256" for role in roles_of(name)]
    return "\n".join([*lines, "local all all reject", ""])


def roles_sql(
    databases: Iterable[str],
    passwords: Mapping[str, str],
    *,
    connection_limit: int = CONNECTION_LIMIT,
) -> str:
    """A psql script that creates roles and databases where missing, idempotent.

    Passwords go in as SCRAM verifiers, so that the server never sees them.
    """
    options = f"{_ROLE_OPTIONS} CONNECTION LIMIT {connection_limit}"
    lines = [
        "SET client_min_messages = warning;",
        "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;",
    ]
    for name in databases:
        if not _NAME.fullmatch(name):
            raise SetupError(f"{name!r} is not a database name: see deploy/mesh.yaml")
        roles = roles_of(name)
        for role in roles:
            missing = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
            lines.append(f"SELECT 'CREATE ROLE {role}' WHERE {missing} \\gexec")
            verifier = scram_verifier(passwords[role])
            lines.append(f"ALTER ROLE {role} WITH {options} PASSWORD '{verifier}';")
        missing = f"NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}')"
        lines += [
            f"SELECT 'CREATE DATABASE {name} OWNER {roles[-1]}' WHERE {missing} \\gexec",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;",
            f"GRANT CONNECT ON DATABASE {name} TO {', '.join(roles)};",
        ]
    return "\n".join([*lines, ""])


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL stores for a password: SCRAM-SHA-256 (RFC 5803, RFC 7677).

    Args:
        password: ASCII, so that SASLprep changes nothing.
        salt: 16 random bytes when left out.
    """
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"
