"""Statements about payments and refunds, each within a transaction that the caller holds."""

# Put together from this package's own column lists; LiteralString holds that no input gets in.
# ruff: noqa: S608

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import LiteralString

from meshkit.database import Connection
from meshkit.money import Money
from payments import rows
from payments.domain import Payment, Refund
from payments.ports import NewPayment, Position

_SELECT_PAYMENT: LiteralString = (
    "SELECT " + rows.PAYMENT_COLUMNS + " FROM payment WHERE payment_id = %(payment_id)s"
)
_INSERT_PAYMENT: LiteralString = (
    """
    INSERT INTO payment (payment_id, tenant, created_by, currency_code, amount_minor_units,
                         merchant_account_id, clearing_account_id, description, source_kind,
                         source_reference)
    VALUES (%(payment_id)s, %(tenant)s, %(created_by)s, %(currency)s, %(minor_units)s,
            %(merchant)s, %(clearing)s, %(description)s, %(source_kind)s, %(source)s)
    RETURNING
    """
    + rows.PAYMENT_COLUMNS
)
_UPDATE_PAYMENT = """
    UPDATE payment
       SET source_reference = %(source_reference)s, stage = %(stage)s,
           charge_id = %(charge_id)s, decline_code = %(decline_code)s,
           transfer_id = %(transfer_id)s, set_aside_minor_units = %(set_aside)s,
           refunded_minor_units = %(refunded)s
     WHERE payment_id = %(payment_id)s
"""
# (create_time, payment_id) < … is one condition that the index answers.
_PAGE_OF_PAYMENTS: LiteralString = (
    "SELECT "
    + rows.PAYMENT_COLUMNS
    + """
      FROM payment
     WHERE tenant = %(tenant)s
       AND (create_time, payment_id) < (%(time)s, %(payment_id)s)
     ORDER BY create_time DESC, payment_id DESC
     LIMIT %(limit)s
    """
)
_PAGE_OF_USERS_PAYMENTS: LiteralString = (
    "SELECT "
    + rows.PAYMENT_COLUMNS
    + """
      FROM payment
     WHERE tenant = %(tenant)s AND created_by = %(created_by)s
       AND (create_time, payment_id) < (%(time)s, %(payment_id)s)
     ORDER BY create_time DESC, payment_id DESC
     LIMIT %(limit)s
    """
)
_SELECT_REFUND: LiteralString = (
    "SELECT " + rows.REFUND_COLUMNS + " FROM refund WHERE refund_id = %(refund_id)s"
)
_INSERT_REFUND: LiteralString = (
    """
    INSERT INTO refund (refund_id, payment_id, currency_code, amount_minor_units)
    VALUES (%(refund_id)s, %(payment_id)s, %(currency)s, %(minor_units)s)
    RETURNING
    """
    + rows.REFUND_COLUMNS
)
_UPDATE_REFUND = """
    UPDATE refund
       SET stage = %(stage)s, provider_refund_id = %(provider_refund_id)s,
           failure_code = %(failure_code)s, transfer_id = %(transfer_id)s
     WHERE refund_id = %(refund_id)s
"""


async def select_payment(
    connection: Connection, payment_id: uuid.UUID, *, lock: bool = False
) -> Payment | None:
    """A payment, with `lock` until the transaction ends."""
    query = _SELECT_PAYMENT + " FOR UPDATE" if lock else _SELECT_PAYMENT
    row = await rows.one(connection, query, {"payment_id": payment_id})
    return None if row is None else rows.payment_of(row)


async def lock_payment(connection: Connection, payment_id: uuid.UUID) -> Payment:
    """A payment that is certainly there, locked."""
    return rows.there(await select_payment(connection, payment_id, lock=True))


async def insert_payment(connection: Connection, payment_id: uuid.UUID, new: NewPayment) -> Payment:
    """The payment as stored."""
    row = await rows.one(
        connection,
        _INSERT_PAYMENT,
        {
            "payment_id": payment_id,
            "tenant": new.tenant,
            "created_by": new.created_by,
            "currency": new.amount.currency.code,
            "minor_units": new.amount.minor_units,
            "merchant": new.merchant_account_id,
            "clearing": new.clearing_account_id,
            "description": new.description,
            "source_kind": new.source.kind.value,
            "source": new.source.reference,
        },
    )
    return rows.payment_of(rows.there(row))


async def update_payment(connection: Connection, payment: Payment) -> None:
    """Store what may change of a locked payment."""
    await connection.execute(_UPDATE_PAYMENT, rows.payment_changes(payment))


async def select_refund(connection: Connection, refund_id: uuid.UUID) -> Refund | None:
    """A refund; its operation's lock protects it."""
    row = await rows.one(connection, _SELECT_REFUND, {"refund_id": refund_id})
    return None if row is None else rows.refund_of(row)


async def insert_refund(
    connection: Connection, refund_id: uuid.UUID, payment_id: uuid.UUID, amount: Money
) -> Refund:
    """The refund as stored."""
    row = await rows.one(
        connection,
        _INSERT_REFUND,
        {
            "refund_id": refund_id,
            "payment_id": payment_id,
            "currency": amount.currency.code,
            "minor_units": amount.minor_units,
        },
    )
    return rows.refund_of(rows.there(row))


async def update_refund(connection: Connection, refund: Refund) -> None:
    """Store what may change of a refund."""
    await connection.execute(_UPDATE_REFUND, rows.refund_changes(refund))


async def page_of_payments(
    connection: Connection, tenant: str, created_by: str | None, after: Position, limit: int
) -> Sequence[Payment]:
    """At most `limit` payments of a tenant, or of one of its users, that are older than `after`."""
    query = _PAGE_OF_PAYMENTS if created_by is None else _PAGE_OF_USERS_PAYMENTS
    found = await connection.execute(
        query,
        {
            "tenant": tenant,
            "created_by": created_by,
            "time": after.create_time,
            "payment_id": after.payment_id,
            "limit": limit,
        },
    )
    return [rows.payment_of(row) async for row in found]
