"""Rows of the database as values of the domain, and back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString, TypeVar

from psycopg.types.json import Jsonb

from meshkit.database import Connection
from meshkit.money import Money
from payments.domain import Payment, Refund, RefundStage, Source, SourceKind, Stage
from payments.idempotency import Answer, Failure, Known, Success

PAYMENT_COLUMNS = """
    payment_id, tenant, created_by, currency_code, amount_minor_units, merchant_account_id,
    clearing_account_id, description, source_kind, source_reference, create_time, stage,
    charge_id, decline_code, transfer_id, set_aside_minor_units, refunded_minor_units
"""
REFUND_COLUMNS = """
    refund_id, payment_id, currency_code, amount_minor_units, create_time, stage,
    provider_refund_id, failure_code, transfer_id
"""
ANSWER_COLUMNS = """
    finish_time, answer_payload, answer_code, answer_reason, answer_message, answer_metadata
"""

Row = Sequence[Any]
T = TypeVar("T")


def payment_of(row: Row) -> Payment:
    """A payment from PAYMENT_COLUMNS."""
    kind, reference = row[8], row[9]
    return Payment(
        payment_id=row[0],
        tenant=row[1],
        created_by=row[2],
        amount=Money.of(row[3], row[4]),
        merchant_account_id=row[5],
        clearing_account_id=row[6],
        description=row[7],
        source=None if reference is None else Source(SourceKind(kind), reference),
        create_time=row[10],
        stage=Stage(row[11]),
        charge_id=row[12],
        decline_code=row[13],
        transfer_id=row[14],
        set_aside_minor_units=row[15],
        refunded_minor_units=row[16],
    )


def payment_changes(payment: Payment) -> dict[str, object]:
    """The columns of a payment that may change, and its id."""
    return {
        "payment_id": payment.payment_id,
        "source_reference": None if payment.source is None else payment.source.reference,
        "stage": payment.stage.value,
        "charge_id": payment.charge_id,
        "decline_code": payment.decline_code,
        "transfer_id": payment.transfer_id,
        "set_aside": payment.set_aside_minor_units,
        "refunded": payment.refunded_minor_units,
    }


def refund_of(row: Row) -> Refund:
    """A refund from REFUND_COLUMNS."""
    return Refund(
        refund_id=row[0],
        payment_id=row[1],
        amount=Money.of(row[2], row[3]),
        create_time=row[4],
        stage=RefundStage(row[5]),
        provider_refund_id=row[6],
        failure_code=row[7],
        transfer_id=row[8],
    )


def refund_changes(refund: Refund) -> dict[str, object]:
    """The columns of a refund that may change, and its id."""
    return {
        "refund_id": refund.refund_id,
        "stage": refund.stage.value,
        "provider_refund_id": refund.provider_refund_id,
        "failure_code": refund.failure_code,
        "transfer_id": refund.transfer_id,
    }


def answer_of(row: Row) -> Answer | None:
    """An answer from ANSWER_COLUMNS, None while there is none."""
    finish_time, payload, code, reason, message, metadata = row
    if finish_time is None:
        return None
    if payload is not None:
        return Success(bytes(payload))
    return Failure(code=code, reason=reason, message=message, metadata=metadata)


def answer_columns(answer: Answer) -> Mapping[str, object]:
    """The columns of an answer."""
    if isinstance(answer, Success):
        return {
            "payload": answer.payload,
            "code": None,
            "reason": None,
            "message": None,
            "metadata": None,
        }
    return {
        "payload": None,
        "code": answer.code,
        "reason": answer.reason,
        "message": answer.message,
        "metadata": Jsonb(dict(answer.metadata)),
    }


def known_of(row: Row) -> tuple[Known, dt.datetime]:
    """An operation from (operation_id, request_hash, lease_until, now, ANSWER_COLUMNS…)."""
    operation_id: uuid.UUID = row[0]
    known = Known(
        operation_id=operation_id,
        request_hash=bytes(row[1]),
        answer=answer_of(row[4:]),
        lease_until=row[2],
    )
    return known, row[3]


async def one(
    connection: Connection, query: LiteralString, parameters: Mapping[str, object]
) -> Row | None:
    """The first row, None if there is none."""
    found = await connection.execute(query, parameters)
    return await found.fetchone()


def there(row: T | None) -> T:
    """The row, where only a fault of ours could have it missing."""
    if row is None:
        raise LookupError("a row that must be there is not")
    return row
