"""Carries a payment or a refund from wherever it stands to its answer.

Used by the call that began it, by a retry that took it over, and by the
worker. Each step outside is idempotent by an id that derives from the payment
or refund, and its outcome is stored before the next step: a crash anywhere,
or two processes on the same payment, charge once and post once.

An outcome that is not known is never taken for a failure: the error goes up,
the state stays, somebody asks again.
"""

from __future__ import annotations

import datetime as dt
import uuid

from meshkit.logging import get_logger
from payments import convert
from payments.domain import IllegalMoveError, Payment, Refund, RefundStage, Stage, may_send
from payments.errors import (
    PaymentDeclinedError,
    PaymentNotRefundableError,
    ProviderUnavailableError,
)
from payments.idempotency import Answer, Lease
from payments.ports import AnswerOf, Clock, LeaseLostError, Ledger, Store, Transfer
from payments.providers import Charged, Provider, Returned

_NAMESPACE = uuid.UUID("7a0f3a5e-6a0c-5c52-9d0c-1f2f6a9f9d11")
_log = get_logger(__name__)


def transfer_request_id(kind: str, operation_id: uuid.UUID) -> uuid.UUID:
    """The ledger's request id for the one transfer of a payment or refund."""
    return uuid.uuid5(_NAMESPACE, f"transfer/{kind}/{operation_id}")


class Finisher:
    """The steps after a payment or refund is stored."""

    def __init__(self, store: Store, provider: Provider, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._provider = provider
        self._ledger = ledger
        self._clock = clock

    async def finish_payment(self, lease: Lease, payment: Payment) -> Answer:
        """Charge and post, as far as that is still to be done.

        Raises:
            ProviderUnavailableError, LedgerUnavailableError: the outcome is not known yet.
            LeaseLostError: somebody else carries on.
        """
        answers = _Answers()
        if payment.stage is Stage.CHARGING:
            payment = await self._charge(lease, payment, answers)
        if payment.stage is Stage.CHARGED:
            await self._post_payment(lease, payment, answers)
        return answers.given()

    async def finish_refund(self, lease: Lease, refund: Refund) -> Answer:
        """Give back and post, as far as that is still to be done. Raises as finish_payment."""
        answers = _Answers()
        payment = await self._store.payment(refund.payment_id)
        if payment is None or payment.charge_id is None:
            raise IllegalMoveError("a refund without a charged payment")
        if refund.stage is RefundStage.RETURNING:
            refund = await self._give_back(lease, payment.charge_id, refund, answers)
        if refund.stage is RefundStage.RETURNED:
            await self._post_refund(lease, payment, refund, answers)
        return answers.given()

    async def _charge(self, lease: Lease, payment: Payment, answers: _Answers) -> Payment:
        self._require_window(payment.payment_id, payment.create_time)
        if payment.source is None:
            raise IllegalMoveError("a payment to charge without a source")
        outcome = await self._provider.charge(payment.payment_id, payment.amount, payment.source)
        if isinstance(outcome, Charged):
            charge_id = outcome.charge_id
            return await self._store.move_payment(lease, lambda p: p.charged(charge_id))
        code = outcome.decline_code
        kept = convert.failure(PaymentDeclinedError(code))
        return await self._store.move_payment(
            lease, lambda p: p.declined(code), answers.remember(lambda _: kept)
        )

    async def _post_payment(self, lease: Lease, payment: Payment, answers: _Answers) -> None:
        transfer_id = await self._ledger.post(
            Transfer(
                request_id=transfer_request_id("payment", payment.payment_id),
                debit_account_id=payment.clearing_account_id,
                credit_account_id=payment.merchant_account_id,
                amount=payment.amount,
                reference=f"payment {payment.payment_id}",
            )
        )
        await self._store.move_payment(
            lease, lambda p: p.posted(transfer_id), answers.remember(convert.created)
        )

    async def _give_back(
        self, lease: Lease, charge_id: str, refund: Refund, answers: _Answers
    ) -> Refund:
        self._require_window(refund.refund_id, refund.create_time)
        outcome = await self._provider.refund(refund.refund_id, charge_id, refund.amount)
        if isinstance(outcome, Returned):
            provider_id = outcome.provider_refund_id
            return await self._store.move_refund(lease, lambda p, r: (p, r.returned(provider_id)))
        code = outcome.failure_code
        kept = convert.failure(PaymentNotRefundableError(metadata={"failure_code": code}))
        return await self._store.move_refund(
            lease, lambda p, r: r.rejected(p, code), answers.remember(lambda _: kept)
        )

    async def _post_refund(
        self, lease: Lease, payment: Payment, refund: Refund, answers: _Answers
    ) -> None:
        transfer_id = await self._ledger.post(
            Transfer(
                request_id=transfer_request_id("refund", refund.refund_id),
                debit_account_id=payment.merchant_account_id,
                credit_account_id=payment.clearing_account_id,
                amount=refund.amount,
                reference=f"refund {refund.refund_id}",
            )
        )
        await self._store.move_refund(
            lease, lambda p, r: r.posted(p, transfer_id), answers.remember(convert.refunded)
        )

    def _require_window(self, operation_id: uuid.UUID, create_time: dt.datetime) -> None:
        if not may_send(create_time, self._clock()):
            # To send again could charge twice; a person has to look it up at the provider.
            _log.error("outcome unknown for too long", operation_id=str(operation_id))
            raise ProviderUnavailableError(
                "The payment provider's answer was lost and is being looked into."
            )


class _Answers:
    """The answer that was stored, for the caller that is still there to hear it."""

    def __init__(self) -> None:
        self._answer: Answer | None = None

    def remember(self, answer_of: AnswerOf) -> AnswerOf:
        """The same function, whose result is kept."""

        def remembering(payment: Payment) -> Answer:
            self._answer = answer_of(payment)
            return self._answer

        return remembering

    def given(self) -> Answer:
        """The answer. Raises LeaseLostError: a later holder has finished before us."""
        if self._answer is None:
            raise LeaseLostError
        return self._answer
