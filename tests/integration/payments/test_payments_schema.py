"""What the service's role may do, and what the tables hold whatever the service does."""

# The statements are this file's own.
# ruff: noqa: S608

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Database

INSERT_OPERATION = """
    INSERT INTO operation (operation_id, tenant, user_sub, rpc, key_hash, request_hash,
                           lease_token, lease_until)
    VALUES (%(id)s, 'acme', 'alice', 'CreatePayment', sha256(%(id)s::text::bytea),
            sha256('r'), gen_random_uuid(), now())
"""
INSERT_PAYMENT = """
    INSERT INTO payment (payment_id, tenant, created_by, currency_code, amount_minor_units,
                         merchant_account_id, clearing_account_id, description, source_kind,
                         source_reference)
    VALUES (%(id)s, 'acme', 'alice', 'EUR', 1000, gen_random_uuid(), gen_random_uuid(), '',
            'card_token', 'tok_visa')
"""


@pytest.fixture
def payment_id(empty_database: Database) -> uuid.UUID:
    """A payment that is being charged."""
    payment_id = uuid.uuid4()
    with psycopg.connect(empty_database.service_dsn) as connection:
        connection.execute(INSERT_OPERATION, {"id": payment_id})
        connection.execute(INSERT_PAYMENT, {"id": payment_id})
    return payment_id


@pytest.mark.parametrize("table", ["operation", "payment", "refund"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {}",
        "TRUNCATE {}",
        "DROP TABLE {}",
        "ALTER TABLE {} ADD COLUMN x int",
        "CREATE TRIGGER t BEFORE INSERT ON {} EXECUTE FUNCTION f()",
    ],
)
def test_role_deletes_and_defines_nothing(
    empty_database: Database, table: LiteralString, statement: LiteralString
) -> None:
    """The service cannot remove a row or change a table."""
    with (
        psycopg.connect(empty_database.service_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.replace("{}", table))


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("operation", "operation_id"),
        ("operation", "tenant"),
        ("operation", "user_sub"),
        ("operation", "rpc"),
        ("operation", "key_hash"),
        ("operation", "request_hash"),
        ("operation", "create_time"),
        ("payment", "payment_id"),
        ("payment", "tenant"),
        ("payment", "created_by"),
        ("payment", "currency_code"),
        ("payment", "amount_minor_units"),
        ("payment", "merchant_account_id"),
        ("payment", "clearing_account_id"),
        ("payment", "description"),
        ("payment", "source_kind"),
        ("payment", "create_time"),
        ("refund", "refund_id"),
        ("refund", "payment_id"),
        ("refund", "currency_code"),
        ("refund", "amount_minor_units"),
        ("refund", "create_time"),
    ],
)
def test_role_cannot_change_what_stays(
    empty_database: Database, table: LiteralString, column: LiteralString
) -> None:
    """What was agreed, with whom and for how much is written once."""
    with (
        psycopg.connect(empty_database.service_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("UPDATE " + table + " SET " + column + " = " + column)


def test_role_makes_no_objects(empty_database: Database) -> None:
    """The service's role owns nothing and can make nothing."""
    for statement in ("CREATE TABLE t (a int)", "CREATE SCHEMA s", "CREATE TEMP TABLE t (a int)"):
        with (
            psycopg.connect(empty_database.service_dsn) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        "stage = 'charged'",
        "stage = 'charged', charge_id = 'ch_1'",
        "charge_id = 'ch_1'",
        "stage = 'succeeded', charge_id = 'ch_1', source_reference = NULL",
        "stage = 'failed', source_reference = NULL",
        "stage = 'gone'",
        "source_reference = NULL",
        "set_aside_minor_units = 1",
        "refunded_minor_units = 1",
    ],
)
def test_half_a_move_is_refused(
    empty_database: Database, payment_id: uuid.UUID, change: LiteralString
) -> None:
    """A stage and the facts that belong to it change together or not at all."""
    with (
        psycopg.connect(empty_database.service_dsn) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute("UPDATE payment SET " + change + " WHERE payment_id = %s", [payment_id])


def test_more_than_the_payment_is_never_set_aside(
    empty_database: Database, payment_id: uuid.UUID
) -> None:
    """The sum of the refunds is bounded by the table itself."""
    paid: LiteralString = (
        "UPDATE payment SET stage = 'succeeded', charge_id = 'ch', source_reference = NULL,"
        " transfer_id = gen_random_uuid(), set_aside_minor_units = %s, refunded_minor_units = %s"
        " WHERE payment_id = %s"
    )
    with psycopg.connect(empty_database.service_dsn) as connection:
        connection.execute(paid, (1000, 1000, payment_id))
        for set_aside, refunded in ((1001, 0), (400, 401), (0, -1), (-1, -1)):
            with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                connection.execute(paid, (set_aside, refunded, payment_id))


@pytest.mark.parametrize(
    "change",
    [
        "finish_time = now()",
        "answer_payload = ''",
        (
            "finish_time = now(), answer_payload = '', answer_code = 'X', answer_reason = 'X',"
            " answer_message = 'X', answer_metadata = '{}'"
        ),
        "finish_time = now(), answer_code = 'X'",
    ],
)
def test_operation_is_finished_with_exactly_one_answer(
    empty_database: Database, payment_id: uuid.UUID, change: LiteralString
) -> None:
    """No answer without an end, no end without an answer, no two answers."""
    with (
        psycopg.connect(empty_database.service_dsn) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(
            "UPDATE operation SET " + change + " WHERE operation_id = %s", [payment_id]
        )
