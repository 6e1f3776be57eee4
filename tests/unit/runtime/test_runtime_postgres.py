"""Who may enter which database, as text; the real server is asked by the integration tests."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from paymesh.errors import SetupError
from paymesh.mesh import Mesh
from paymesh.runtime import postgres_settings as postgres


def rules(text: str) -> list[list[str]]:
    """The lines of pg_hba.conf as fields."""
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_each_role_enters_its_own_database_and_no_other(mesh: Mesh) -> None:
    """For every database: its role and its owner, by SCRAM; then nobody, by no way."""
    names = postgres.database_names(mesh)
    found = rules(postgres.host_based_access(names))
    assert found[0] == ["local", "all", "postgres", "peer", "map=admin"]
    assert found[-1] == ["local", "all", "all", "reject"]
    assert found[1:-1] == [
        ["local", name, role, "scram-sha-256"]
        for name in names
        for role in ((name,) if name == "spire" else (name, f"{name}_owner"))
    ]


def test_no_rule_lets_the_network_in(mesh: Mesh) -> None:
    """Every line is about the Unix socket, and none trusts."""
    text = postgres.host_based_access(postgres.database_names(mesh))
    assert {fields[0] for fields in rules(text)} == {"local"}
    assert not re.search(r"\b(trust|md5|password)\b", text)


def test_the_server_is_durable_and_has_no_port() -> None:
    """No TCP, and nothing that loses a committed transaction."""
    text = postgres.configuration(Path("/run/x"), Path("/log"), 4711)
    for line in (
        "listen_addresses = ''",
        "fsync = on",
        "full_page_writes = on",
        "synchronous_commit = on",
        "unix_socket_group = '4711'",
        "unix_socket_permissions = 0770",
        "password_encryption = 'scram-sha-256'",
    ):
        assert line in text.splitlines()


def test_without_a_group_the_socket_is_the_owners() -> None:
    """One uid for all: nobody else may connect."""
    text = postgres.configuration(Path("/run/x"), Path("/log"), None)
    assert "unix_socket_permissions = 0700" in text.splitlines()
    assert "unix_socket_group" not in text


def test_scram_verifier_is_the_one_of_the_standard() -> None:
    """The exchange printed in RFC 7677, section 3, fits the verifier's stored key."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = postgres.scram_verifier("pencil", salt)
    scheme, iterations_salt, keys = verifier.split("$")
    assert (scheme, iterations_salt) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    stored, server = keys.split(":")
    assert (stored, server) == (
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    )


def test_no_password_stands_in_the_script(mesh: Mesh) -> None:
    """PostgreSQL gets verifiers only, so that no log of its can hold a password."""
    names = postgres.database_names(mesh)
    passwords = {
        role: f"geheim-{number}"
        for number, role in enumerate(role for name in names for role in postgres.roles_of(name))
    }
    script = postgres.roles_sql(names, passwords)
    assert "geheim" not in script
    assert script.count("SCRAM-SHA-256$") == len(passwords)


@pytest.mark.parametrize("name", ["", "a;b", "a b", "A", "a'", "0a", "x" * 60])
def test_an_odd_database_name_is_refused(name: str) -> None:
    """A name goes into SQL as it is, so it may hold nothing but letters, digits, underscores."""
    with pytest.raises(SetupError):
        postgres.roles_sql([name], {name: "x", f"{name}_owner": "y"})
