"""What the database itself refuses, whatever the service does."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from tests.integration.conftest import Database

TABLES = ("accounts", "account_requests", "transfers", "entries")
Connection = psycopg.Connection[Any]
Line = tuple[uuid.UUID, str, str, int]


@pytest.fixture
def service(database: Database) -> Iterator[Connection]:
    """A session of the service's role; each statement commits."""
    with psycopg.connect(database.service_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(database: Database) -> Iterator[Connection]:
    """A session of the owner's role; each statement commits."""
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def entity() -> str:
    """A legal entity of this test's own: the database is the module's."""
    return f"e-{secrets.token_hex(6)}"


def account(connection: Connection, entity: str, currency: str = "EUR") -> uuid.UUID:
    """A merchant account."""
    row = connection.execute(
        "INSERT INTO accounts (legal_entity, kind, currency_code)"
        " VALUES (%s, 'ACCOUNT_KIND_MERCHANT', %s) RETURNING account_id",
        [entity, currency],
    ).fetchone()
    assert row is not None
    return uuid.UUID(str(row[0]))


def transfer(connection: Connection, entity: str, legs: int) -> uuid.UUID:
    """A transfer's own row."""
    row = connection.execute(
        "INSERT INTO transfers"
        " (caller, request_id, content_hash, legal_entity, leg_count, reference)"
        " VALUES ('test', gen_random_uuid(), sha256('x'), %s, %s, '') RETURNING transfer_id",
        [entity, legs],
    ).fetchone()
    assert row is not None
    return uuid.UUID(str(row[0]))


def enter(connection: Connection, transfer_id: uuid.UUID, lines: Sequence[Line]) -> None:
    """Entries of a transfer."""
    for account_id, entity, currency, units in lines:
        connection.execute(
            "INSERT INTO entries"
            " (transfer_id, account_id, legal_entity, currency_code, minor_units)"
            " VALUES (%s, %s, %s, %s, %s)",
            [transfer_id, account_id, entity, currency, units],
        )


def post(
    connection: Connection, entity: str, lines: Sequence[Line], legs: int | None = None
) -> uuid.UUID:
    """A transfer with its entries, in one transaction."""
    with connection.transaction():
        transfer_id = transfer(connection, entity, len(lines) if legs is None else legs)
        enter(connection, transfer_id, lines)
    return transfer_id


def counts(connection: Connection, entity: str) -> tuple[int, int]:
    """How many transfers and entries of a legal entity there are."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM transfers WHERE legal_entity = %(entity)s),"
        "       (SELECT count(*) FROM entries WHERE legal_entity = %(entity)s)",
        {"entity": entity},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def test_a_balanced_transfer_commits(service: Connection, entity: str) -> None:
    """The helper of the refusals below posts what is right."""
    one, two = account(service, entity), account(service, entity)
    post(service, entity, [(one, entity, "EUR", -5), (two, entity, "EUR", 5)])
    assert counts(service, entity) == (1, 2)


@pytest.mark.parametrize("units", [(-5, 4), (5, 5), (2**62, 2**62)])
def test_the_sum_is_checked_at_commit(
    service: Connection, entity: str, units: tuple[int, int]
) -> None:
    """Legs that do not sum to zero are taken statement by statement and refused at commit."""
    one, two = account(service, entity), account(service, entity)
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        post(service, entity, [(one, entity, "EUR", units[0]), (two, entity, "EUR", units[1])])
    assert raised.value.diag.constraint_name == "transfer_sums_to_zero"
    assert counts(service, entity) == (0, 0)


def test_the_sum_is_checked_in_each_currency(service: Connection, entity: str) -> None:
    """Ten of one currency do not balance ten of another."""
    one, two = account(service, entity, "EUR"), account(service, entity, "USD")
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        post(service, entity, [(one, entity, "EUR", -10), (two, entity, "USD", 10)])
    assert raised.value.diag.constraint_name == "transfer_sums_to_zero"
    assert counts(service, entity) == (0, 0)


def test_a_transfer_without_entries(service: Connection, entity: str) -> None:
    """A transfer's row alone does not commit."""
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        transfer(service, entity, 2)
    assert raised.value.diag.constraint_name == "transfer_has_its_legs"
    assert counts(service, entity) == (0, 0)


def test_a_posted_transfer_takes_no_more_entries(service: Connection, entity: str) -> None:
    """Not even a balanced pair can be added to a transfer of another transaction."""
    accounts = [account(service, entity) for _ in range(4)]
    transfer_id = post(
        service, entity, [(accounts[0], entity, "EUR", -5), (accounts[1], entity, "EUR", 5)]
    )
    with pytest.raises(psycopg.errors.CheckViolation) as raised, service.transaction():
        enter(
            service,
            transfer_id,
            [(accounts[2], entity, "EUR", -5), (accounts[3], entity, "EUR", 5)],
        )
    assert raised.value.diag.constraint_name == "transfer_has_its_legs"
    assert counts(service, entity) == (1, 2)


def test_an_entry_in_another_currency_than_its_account(service: Connection, entity: str) -> None:
    """The foreign key keeps an entry to the currency of its account."""
    one, two = account(service, entity, "EUR"), account(service, entity, "USD")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        post(service, entity, [(one, entity, "EUR", -5), (two, entity, "EUR", 5)])


def test_a_transfer_across_legal_entities(service: Connection, entity: str) -> None:
    """Neither by the account's legal entity nor by the transfer's can an entry leave its own."""
    other = entity + "-other"
    one, two = account(service, entity), account(service, other)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        post(service, entity, [(one, entity, "EUR", -5), (two, entity, "EUR", 5)])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        post(service, entity, [(one, entity, "EUR", -5), (two, other, "EUR", 5)])


@pytest.mark.parametrize("units", [0, -(2**63)])
def test_entries_that_are_none(service: Connection, entity: str, units: int) -> None:
    """Zero, and the one amount that cannot be reversed, are no entries."""
    one = account(service, entity)
    with pytest.raises(psycopg.errors.CheckViolation), service.transaction():
        enter(service, transfer(service, entity, 2), [(one, entity, "EUR", units)])


def test_an_account_twice_in_a_transfer(service: Connection, entity: str) -> None:
    """An account has one entry of a transfer at most."""
    one, two = account(service, entity), account(service, entity)
    lines = [(one, entity, "EUR", -5), (two, entity, "EUR", 3), (two, entity, "EUR", 2)]
    with pytest.raises(psycopg.errors.UniqueViolation):
        post(service, entity, lines)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_service_can_only_insert_and_select(
    service: Connection, table: str, statement: str
) -> None:
    """The role `ledger` has no UPDATE, DELETE or TRUNCATE on any table."""
    column = "legal_entity" if table in {"accounts", "transfers", "entries"} else "caller"
    query = sql.SQL(statement).format(
        *(sql.Identifier(name) for name in (table, column, column)[: statement.count("{}")])
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised:
        service.execute(query)
    assert "permission denied" in str(raised.value)


def test_the_service_has_no_privilege_besides(service: Connection) -> None:
    """The role's privileges on everything in the schema are exactly these, and it can make
    no tables of its own and no new owner of itself.
    """
    rows = service.execute(
        "SELECT table_name, array_agg(privilege_type::text ORDER BY privilege_type)"
        "  FROM information_schema.role_table_grants"
        " WHERE grantee = 'ledger' GROUP BY table_name"
    ).fetchall()
    assert dict(rows) == {table: ["INSERT", "SELECT"] for table in TABLES}
    facts = service.execute(
        "SELECT has_schema_privilege('public', 'CREATE'),"
        "       has_database_privilege(current_database(), 'CREATE'),"
        "       has_database_privilege(current_database(), 'TEMPORARY'),"
        "       pg_has_role('ledger_owner', 'MEMBER'),"
        "       (SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls"
        "          FROM pg_roles WHERE rolname = current_user)"
    ).fetchone()
    assert facts == (False, False, False, False, False)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_owner_is_refused_too(owner: Connection, table: str, statement: str) -> None:
    """Triggers keep the ledger append-only for the owner of the tables."""
    column = "legal_entity" if table in {"accounts", "transfers", "entries"} else "caller"
    query = sql.SQL(statement + (" CASCADE" if statement.startswith("TRUNCATE") else "")).format(
        *(sql.Identifier(name) for name in (table, column, column)[: statement.count("{}")])
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised:
        owner.execute(query)
    assert "append-only" in str(raised.value)


def test_the_service_cannot_switch_triggers_off(service: Connection) -> None:
    """Neither by the table nor by the session."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute("ALTER TABLE entries DISABLE TRIGGER ALL")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute("SET session_replication_role = replica")


def test_a_session_that_dies_between_statements_leaves_nothing(
    database: Database, service: Connection, entity: str
) -> None:
    """A backend killed after the transfer's row and one entry has written nothing."""
    one = account(service, entity)
    dying = psycopg.connect(database.service_dsn)
    transfer_id = transfer(dying, entity, 2)
    enter(dying, transfer_id, [(one, entity, "EUR", -5)])
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s)", [dying.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        dying.commit()
    dying.close()
    assert counts(service, entity) == (0, 0)


def test_a_balance_is_read_from_the_index_alone(owner: Connection, service: Connection) -> None:
    """The sum's plan is an index-only scan once the table has been vacuumed."""
    entity = f"e-{secrets.token_hex(6)}"
    one, two = account(service, entity), account(service, entity)
    for _ in range(200):
        post(service, entity, [(one, entity, "EUR", -5), (two, entity, "EUR", 5)])
    owner.execute("VACUUM ANALYZE entries")
    with service.transaction():
        service.execute("SET LOCAL enable_seqscan = off")
        service.execute("SET LOCAL enable_bitmapscan = off")
        plan = service.execute(
            "EXPLAIN SELECT coalesce(sum(minor_units), 0)::text, count(*)"
            " FROM entries WHERE account_id = %s",
            [one],
        ).fetchall()
    assert any("Index Only Scan using entries_by_account" in line for (line,) in plan)
