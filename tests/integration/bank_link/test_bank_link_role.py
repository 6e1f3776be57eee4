"""What the database itself refuses: to the service's role, and to whoever owns the tables."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import psycopg
import pytest
from psycopg import errors

_INSERT = """
    INSERT INTO links (link_id, tenant, owner, request_id, fingerprint, institution_id)
    VALUES (gen_random_uuid(), 'acme', 'alice', gen_random_uuid(), %s, 'ins_one')
    RETURNING link_id
"""


def _live(connection: psycopg.Connection[Any]) -> uuid.UUID:
    row = connection.execute(_INSERT, [bytes(32)]).fetchone()
    assert row is not None
    link_id: uuid.UUID = row[0]
    connection.execute(
        "UPDATE links SET reference = %s, phase = 'LIVE' WHERE link_id = %s",
        [f"ref_{secrets.token_hex(16)}", link_id],
    )
    return link_id


def _update(connection: psycopg.Connection[Any], change: str, link_id: uuid.UUID) -> None:
    statement = f"UPDATE links SET {change} WHERE link_id = %s"  # noqa: S608 - of this file
    connection.execute(statement.encode(), [link_id])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM links",
        "TRUNCATE links",
        "DROP TABLE links",
        "ALTER TABLE links DISABLE TRIGGER one_way",
        "CREATE TABLE mine (x int)",
        "CREATE TEMPORARY TABLE mine (x int)",
        "UPDATE links SET tenant = 'globex'",
        "UPDATE links SET owner = 'bob'",
        "UPDATE links SET link_id = gen_random_uuid()",
        "UPDATE links SET request_id = gen_random_uuid()",
        "UPDATE links SET institution_id = 'ins_two'",
        "UPDATE links SET fingerprint = ''",
        "UPDATE links SET create_time = now()",
        "INSERT INTO links (link_id, state) VALUES (gen_random_uuid(), 'SUCCESS')",
        "INSERT INTO links (link_id, reference) VALUES (gen_random_uuid(), 'ref_0123456789')",
        "SELECT * FROM schema_migrations",
        "SELECT keep_links_one_way()",
    ],
)
def test_the_role_can_do_no_more_than_the_service(database: Any, statement: str) -> None:
    """No deleting, no changing of what does not change, no choosing where a link begins."""
    with (
        psycopg.connect(database.service_dsn) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("first", "then", "constraint"),
    [
        ("state = 'SUCCESS'", "state = 'PENDING'", "state_never_goes_back"),
        ("state = 'SUCCESS'", "state = 'FAILED'", "state_never_goes_back"),
        ("state = 'FAILED'", "state = 'SUCCESS'", "state_never_goes_back"),
        ("phase = 'REMOVING'", "state = 'SUCCESS'", "state_never_goes_back"),
        ("phase = 'REMOVING'", "phase = 'LIVE'", "phase_never_goes_back"),
        ("state = 'PENDING'", "phase = 'REMOVED', reference = NULL", "phase_never_goes_back"),
        ("state = 'PENDING'", "phase = 'RESERVED', reference = NULL", "phase_never_goes_back"),
        ("state = 'PENDING'", "reference = 'ref_another_one'", "reference_never_changes"),
        ("state = 'PENDING'", "reference = NULL", "reference_while_it_is_needed"),
        ("phase = 'REMOVING'", "phase = 'REMOVED'", "reference_while_it_is_needed"),
        ("state = 'PENDING'", "state = 'DONE'", "links_state_check"),
        ("state = 'PENDING'", "tenant = 'globex'", "identity_never_changes"),
        ("state = 'PENDING'", "request_id = gen_random_uuid()", "identity_never_changes"),
    ],
)
def test_not_even_the_owner_turns_a_link_back(
    database: Any, first: str, then: str, constraint: str
) -> None:
    """Trigger and checks hold for every role: no bug in the service can undo a verdict."""
    with psycopg.connect(database.owner_dsn) as connection:
        link_id = _live(connection)
        _update(connection, first, link_id)
        with pytest.raises(errors.CheckViolation) as refusal:
            _update(connection, then, link_id)
        assert refusal.value.diag.constraint_name == constraint


def test_a_new_link_cannot_begin_verified(database: Any) -> None:
    """RESERVED is PENDING, and two links never share a reference."""
    with psycopg.connect(database.owner_dsn) as connection:
        row = connection.execute(_INSERT, [bytes(32)]).fetchone()
        assert row is not None
        with pytest.raises(errors.CheckViolation), connection.transaction():
            connection.execute("UPDATE links SET state = 'SUCCESS' WHERE link_id = %s", [row[0]])
        one, two = _live(connection), row[0]
        with pytest.raises(errors.UniqueViolation):
            connection.execute(
                "UPDATE links SET phase = 'LIVE',"
                " reference = (SELECT reference FROM links WHERE link_id = %s) WHERE link_id = %s",
                [one, two],
            )
