"""Payments as protobuf messages, and answers as gRPC errors."""

from __future__ import annotations

import grpc

from meshkit.errors import MeshError
from meshkit.money import Money
from payments.domain import Payment, State
from payments.errors import Refusal
from payments.idempotency import Failure, Success
from paymesh.payments.v1 import payments_pb2

_STATES = {
    State.PENDING: payments_pb2.PAYMENT_STATE_PENDING,
    State.SUCCEEDED: payments_pb2.PAYMENT_STATE_SUCCEEDED,
    State.FAILED: payments_pb2.PAYMENT_STATE_FAILED,
    State.PARTIALLY_REFUNDED: payments_pb2.PAYMENT_STATE_PARTIALLY_REFUNDED,
    State.REFUNDED: payments_pb2.PAYMENT_STATE_REFUNDED,
}


def payment_message(payment: Payment) -> payments_pb2.Payment:
    """The payment as clients see it: without its source and the provider's ids."""
    message = payments_pb2.Payment(
        payment_id=str(payment.payment_id),
        state=_STATES[payment.state],
        amount=payment.amount.to_proto(),
        refunded_amount=Money(payment.amount.currency, payment.refunded_minor_units).to_proto(),
        merchant_account_id=str(payment.merchant_account_id),
        description=payment.description,
        decline_code=payment.decline_code,
        created_by=payment.created_by,
    )
    message.create_time.FromDatetime(payment.create_time)
    return message


def created(payment: Payment) -> Success:
    """The answer of CreatePayment."""
    message = payments_pb2.CreatePaymentResponse(payment=payment_message(payment))
    return Success(message.SerializeToString(deterministic=True))


def refunded(payment: Payment) -> Success:
    """The answer of RefundPayment."""
    message = payments_pb2.RefundPaymentResponse(payment=payment_message(payment))
    return Success(message.SerializeToString(deterministic=True))


def failure(refusal: Refusal) -> Failure:
    """A refusal as it is kept."""
    return Failure(
        code=refusal.code.name,
        reason=refusal.reason,
        message=refusal.message,
        metadata=dict(refusal.metadata),
    )


def error(kept: Failure) -> MeshError:
    """A kept refusal as it is raised again, equal to the first in all that travels."""
    return MeshError(
        kept.message,
        code=grpc.StatusCode[kept.code],
        reason=kept.reason,
        metadata=kept.metadata,
    )
