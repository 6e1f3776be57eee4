"""The use cases that only look: one payment, and payments by page."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

from meshkit.context import User
from meshkit.paging import InvalidPageToken, decode_page_token, encode_page_token, page_size
from meshkit.pdp import ObjectDenied, ObjectPolicyPort
from payments.domain import Payment
from payments.errors import PaymentNotFoundError
from payments.ports import Position, Store

_DEFAULT_PAGE = 50
_LARGEST_PAGE = 500


@dataclasses.dataclass(frozen=True)
class Page:
    """Payments, newest first, and the token of the next page, empty on the last."""

    payments: Sequence[Payment]
    next_page_token: str


@dataclasses.dataclass(frozen=True)
class GetPayment:
    """One payment, if the user may see it."""

    store: Store
    policy: ObjectPolicyPort

    async def __call__(self, payment_id: uuid.UUID) -> Payment:
        """The payment. Raises PaymentNotFoundError, also when it is not the user's to see."""
        payment = await self.store.payment(payment_id)
        if payment is None:
            raise PaymentNotFoundError
        facts = {"tenant": payment.tenant, "owner": payment.created_by}
        try:
            await self.policy.allowed("payments.read", facts)
        except ObjectDenied:
            raise PaymentNotFoundError from None
        return payment


@dataclasses.dataclass(frozen=True)
class ListPayments:
    """A customer's own payments; the whole tenant's for staff."""

    store: Store
    policy: ObjectPolicyPort

    async def __call__(self, user: User, requested_size: int, page_token: str) -> Page:
        """A page. Raises InvalidPageToken, ObjectDenied."""
        owner = None if user.is_staff else user.sub
        facts = {"tenant": user.tenant} | ({} if owner is None else {"owner": owner})
        await self.policy.allowed("payments.list", facts)
        query = ("ListPayments", user.tenant, "" if owner is None else f"by:{owner}")
        after = _position(decode_page_token(page_token, query, length=2))
        size = page_size(requested_size, default=_DEFAULT_PAGE, maximum=_LARGEST_PAGE)
        # One more than asked for tells whether there is a next page.
        found = await self.store.payments(user.tenant, owner, after, size + 1)
        if len(found) <= size:
            return Page(found, "")
        last = found[size - 1]
        cursor = (last.create_time.isoformat(), str(last.payment_id))
        return Page(found[:size], encode_page_token(cursor, query))


def _position(cursor: tuple[str, ...] | None) -> Position | None:
    if cursor is None:
        return None
    time, payment_id = cursor
    try:
        position = Position(dt.datetime.fromisoformat(time), uuid.UUID(payment_id))
    except ValueError:
        raise InvalidPageToken from None
    if position.create_time.tzinfo is None:
        raise InvalidPageToken
    return position
