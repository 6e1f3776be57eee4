"""The use cases that move money: create a payment, refund one, finish what was begun."""

from __future__ import annotations

import dataclasses
import uuid

from meshkit.context import User
from meshkit.pdp import ObjectDenied, ObjectPolicyPort
from payments.domain import (
    CurrencyDiffersError,
    IllegalMoveError,
    NotRefundableError,
    RefundTooLargeError,
    SourceKind,
)
from payments.door import CreateCommand, RefundCommand
from payments.errors import (
    AccountNotFoundError,
    CurrencyMismatchError,
    LinkNotFoundError,
    PaymentNotFoundError,
    PaymentNotRefundableError,
    RefundExceedsPaymentError,
)
from payments.finisher import Finisher
from payments.guard import Guard
from payments.idempotency import Answer, Lease, Rpc, Scope
from payments.ports import (
    Ledger,
    Links,
    NewPayment,
    Store,
    Work,
)


@dataclasses.dataclass(frozen=True)
class CreatePayment:
    """Reserve the key, check, store, charge, post."""

    guard: Guard
    store: Store
    ledger: Ledger
    links: Links
    policy: ObjectPolicyPort
    finisher: Finisher

    async def __call__(self, user: User, command: CreateCommand) -> Answer:
        """Answer the call, once for each key. Raises as Guard.once."""
        scope = Scope(user.tenant, user.sub, Rpc.CREATE_PAYMENT, command.key_hash)

        async def execute(lease: Lease) -> Answer:
            # Known already when this call took over from one that died.
            payment = await self.store.payment(lease.operation_id)
            if payment is None:
                payment = await self.store.begin_payment(lease, await self._checked(user, command))
            return await self.finisher.finish_payment(lease, payment)

        return await self.guard.once(scope, command.request_hash(), execute)

    async def _checked(self, user: User, command: CreateCommand) -> NewPayment:
        """Everything that can be refused before anybody is charged."""
        await self._check_account(user, command)
        if command.source.kind is SourceKind.BANK_LINK:
            await self._check_link(uuid.UUID(command.source.reference))
        clearing = await self.ledger.clearing_account(user.tenant, command.amount.currency.code)
        return NewPayment(
            tenant=user.tenant,
            created_by=user.sub,
            amount=command.amount,
            merchant_account_id=command.merchant_account_id,
            clearing_account_id=clearing,
            description=command.description,
            source=command.source,
        )

    async def _check_account(self, user: User, command: CreateCommand) -> None:
        account = await self.ledger.account(command.merchant_account_id)
        # Another tenant's account and one that is not there are told apart by nobody.
        if account is None or account.legal_entity != user.tenant or not account.is_merchant:
            raise AccountNotFoundError
        if account.currency_code != command.amount.currency.code:
            raise CurrencyMismatchError

    async def _check_link(self, link_id: uuid.UUID) -> None:
        link = await self.links.link(link_id)
        if link is None or link.state != "SUCCESS":
            raise LinkNotFoundError
        try:
            await self.policy.allowed("links.use", {"owner": link.owner, "state": link.state})
        except ObjectDenied:
            raise LinkNotFoundError from None


@dataclasses.dataclass(frozen=True)
class RefundPayment:
    """Reserve the key, ask, set the amount aside, give back, post."""

    guard: Guard
    store: Store
    policy: ObjectPolicyPort
    finisher: Finisher

    async def __call__(self, user: User, command: RefundCommand) -> Answer:
        """Answer the call, once for each key. Raises as Guard.once."""
        scope = Scope(user.tenant, user.sub, Rpc.REFUND_PAYMENT, command.key_hash)

        async def execute(lease: Lease) -> Answer:
            refund = await self.store.refund(lease.operation_id)
            if refund is None:
                await self._check(command)
                try:
                    refund = await self.store.begin_refund(
                        lease, command.payment_id, command.amount
                    )
                except NotRefundableError:
                    raise PaymentNotRefundableError from None
                except CurrencyDiffersError:
                    raise CurrencyMismatchError from None
                except RefundTooLargeError:
                    raise RefundExceedsPaymentError from None
            return await self.finisher.finish_refund(lease, refund)

        return await self.guard.once(scope, command.request_hash(), execute)

    async def _check(self, command: RefundCommand) -> None:
        payment = await self.store.payment(command.payment_id)
        if payment is None:
            raise PaymentNotFoundError
        facts = {"tenant": payment.tenant, "owner": payment.created_by}
        try:
            await self.policy.allowed("payments.refund", facts)
        except ObjectDenied:
            raise PaymentNotFoundError from None


@dataclasses.dataclass(frozen=True)
class FinishWork:
    """Carry on with what a call that died or gave up has begun; there is no user."""

    guard: Guard
    store: Store
    finisher: Finisher

    async def __call__(self, work: Work) -> Answer:
        """Answer the operation. Raises as Guard.under_lease."""
        return await self.guard.under_lease(
            work.lease,
            self._finish_payment if work.rpc is Rpc.CREATE_PAYMENT else self._finish_refund,
        )

    async def _finish_payment(self, lease: Lease) -> Answer:
        payment = await self.store.payment(lease.operation_id)
        if payment is None:
            raise IllegalMoveError("begun without a payment")
        return await self.finisher.finish_payment(lease, payment)

    async def _finish_refund(self, lease: Lease) -> Answer:
        refund = await self.store.refund(lease.operation_id)
        if refund is None:
            raise IllegalMoveError("begun without a refund")
        return await self.finisher.finish_refund(lease, refund)
