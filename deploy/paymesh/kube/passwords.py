"""Connection strings, roles and their passwords, each agreeing with the others.

The connection strings are where a password stands; the script with the verifiers
is derived from them, so that losing any of these leaves the rest in force.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64decode
from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from paymesh.mesh import Mesh
from paymesh.runtime import postgres_settings

PASSWORD_BYTES = 32
POSTGRES = "postgres"
CA_FILE = "/etc/paymesh/trust/platform-ca.pem"
_SET_PASSWORD = re.compile(
    r"^ALTER ROLE (\S+) WITH .* PASSWORD '(SCRAM-SHA-256\$[^']+)';$", re.MULTILINE
)


def new() -> str:
    """A password or token: URL-safe, 256 bits."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def dsn(mesh: Mesh, database: str, role: str, password: str) -> str:
    """A libpq connection string over TLS with the server's name verified."""
    return " ".join(
        (
            f"host={host(mesh)}",
            f"port={mesh.kubernetes.ports['postgres']}",
            f"dbname={database}",
            f"user={role}",
            f"password={password}",
            "sslmode=verify-full",
            f"sslrootcert={CA_FILE}",
        )
    )


def host(mesh: Mesh) -> str:
    """PostgreSQL's name in the cluster."""
    return mesh.cluster_name(POSTGRES, mesh.kubernetes.namespaces["platform"])


def password_in(mesh: Mesh, text: str, role: str) -> str | None:
    """The role's password in a connection string; None when that is for another server or
    another role, as somebody's own may be.
    """
    try:
        found = conninfo_to_dict(text)
    except psycopg.Error:
        return None
    if (found.get("host"), found.get("user")) != (host(mesh), role):
        return None
    password = found.get("password")
    return str(password) if password else None


def roles_script(databases: list[str], passwords: Mapping[str, str], before: str) -> str:
    """The psql script that sets roles up; a verifier that fits its password stays, so that
    the same passwords make the same script.

    Args:
        databases: of the services.
        passwords: of every role that `postgres_settings.roles_of` names for them.
        before: the script as it was, or nothing.
    """
    kept = {
        role: verifier
        for role, verifier in _SET_PASSWORD.findall(before)
        if role in passwords and verifies(verifier, passwords[role])
    }
    text = postgres_settings.roles_sql(
        databases,
        passwords,
        connection_limit=postgres_settings.CLUSTER_CONNECTION_LIMIT,
    )
    for role, verifier in _SET_PASSWORD.findall(text):
        text = text.replace(verifier, kept.get(role, verifier))
    return text


def verifies(verifier: str, password: str) -> bool:
    """Whether a SCRAM-SHA-256 verifier was made from this password."""
    try:
        salt = b64decode(verifier.split("$")[1].partition(":")[2], validate=True)
    except (IndexError, ValueError):
        return False
    return secrets.compare_digest(postgres_settings.scram_verifier(password, salt), verifier)
