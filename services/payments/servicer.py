"""paymesh.payments.v1 over the use cases: messages to values and back, nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from google.protobuf.message import Message

from meshkit.context import current
from payments import convert
from payments.door import parse_create, parse_id, parse_refund
from payments.executor import Executor
from payments.handlers import CreatePayment, RefundPayment
from payments.idempotency import Answer, Failure
from payments.queries import GetPayment, ListPayments
from paymesh.payments.v1 import payments_pb2, payments_pb2_grpc

Reply = TypeVar("Reply", bound=Message)


@dataclasses.dataclass(frozen=True)
class PaymentsServicer(payments_pb2_grpc.PaymentsServiceServicer):
    """The RPCs; what they raise becomes a status in meshkit."""

    executor: Executor
    create: CreatePayment
    refund: RefundPayment
    get: GetPayment
    list: ListPayments

    async def CreatePayment(  # noqa: N802
        self,
        request: payments_pb2.CreatePaymentRequest,
        context: Any,  # noqa: ARG002
    ) -> payments_pb2.CreatePaymentResponse:
        """See the proto."""
        command = parse_create(request)
        answer = await self.executor.run(self.create(current().require_user(), command))
        return _reply(answer, payments_pb2.CreatePaymentResponse)

    async def RefundPayment(  # noqa: N802
        self,
        request: payments_pb2.RefundPaymentRequest,
        context: Any,  # noqa: ARG002
    ) -> payments_pb2.RefundPaymentResponse:
        """See the proto."""
        command = parse_refund(request)
        answer = await self.executor.run(self.refund(current().require_user(), command))
        return _reply(answer, payments_pb2.RefundPaymentResponse)

    async def GetPayment(  # noqa: N802
        self,
        request: payments_pb2.GetPaymentRequest,
        context: Any,  # noqa: ARG002
    ) -> payments_pb2.GetPaymentResponse:
        """See the proto."""
        current().require_user()
        payment = await self.get(parse_id("payment_id", request.payment_id))
        return payments_pb2.GetPaymentResponse(payment=convert.payment_message(payment))

    async def ListPayments(  # noqa: N802
        self,
        request: payments_pb2.ListPaymentsRequest,
        context: Any,  # noqa: ARG002
    ) -> payments_pb2.ListPaymentsResponse:
        """See the proto."""
        user = current().require_user()
        page = await self.list(user, request.page_size, request.page_token)
        return payments_pb2.ListPaymentsResponse(
            payments=[convert.payment_message(payment) for payment in page.payments],
            next_page_token=page.next_page_token,
        )


def _reply(answer: Answer, kind: type[Reply]) -> Reply:
    """The message that was kept. Raises the error that was kept."""
    if isinstance(answer, Failure):
        raise convert.error(answer)
    return kind.FromString(answer.payload)
