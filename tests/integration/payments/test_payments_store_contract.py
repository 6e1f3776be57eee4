"""The store in PostgreSQL and the one in memory keep the same rules."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from meshkit.money import Money
from payments.domain import NotRefundableError, Payment, RefundTooLargeError, Source, SourceKind
from payments.idempotency import Failure, Finished, InUse, Lease, Reused, Rpc, Scope, Success
from payments.ports import LeaseLostError, NewPayment, Position, Store
from payments.testing import MemoryStore, Turns

LEASE_SECONDS = 20.0
SAME, OTHER = b"s" * 32, b"o" * 32
REFUSAL = Failure("NOT_FOUND", "LINK_NOT_FOUND", "There is no such link.", {"a": "b"})
REPLY = Success(b"\x00\xffreply")
ACCOUNTS = uuid.uuid4(), uuid.uuid4()


class Both:
    """A store and how its time is made to pass."""

    def __init__(self, store: Store, pass_time: Callable[[float], None]) -> None:
        self.store = store
        self.pass_time = pass_time

    async def paid(self, key: str = "k", minor_units: int = 1000, user: str = "alice") -> Payment:
        """A payment that succeeded."""
        lease = await self.lease(key, user=user)
        await self.store.begin_payment(lease, _new(minor_units, user))
        await self.store.move_payment(lease, lambda p: p.charged(f"ch_{uuid.uuid4().hex}"))
        transfer = uuid.uuid4()
        return await self.store.move_payment(lease, lambda p: p.posted(transfer), lambda _: REPLY)

    async def lease(
        self, key: str = "k", rpc: Rpc = Rpc.CREATE_PAYMENT, user: str = "alice"
    ) -> Lease:
        """The lease of a key that is free."""
        reservation = await self.store.reserve(_scope(key, rpc, user), SAME, uuid.uuid4())
        assert isinstance(reservation, Lease)
        return reservation


@pytest.fixture(params=["memory", "postgres"])
def both(request: pytest.FixtureRequest) -> Both:
    """Each of the stores in turn."""
    if request.param == "memory":
        times = [dt.datetime(2026, 11, 21, tzinfo=dt.UTC)]

        def pass_time(seconds: float) -> None:
            times[0] += dt.timedelta(seconds=seconds)

        return Both(MemoryStore(Turns(), lambda: times[0], LEASE_SECONDS), pass_time)
    database = request.getfixturevalue("empty_database")

    def pull_times(seconds: float) -> None:
        """The database's clock cannot be moved; what it is compared with can."""
        back = dt.timedelta(seconds=seconds)
        with psycopg.connect(database.superuser_dsn) as connection:
            connection.execute(
                "UPDATE operation SET lease_until = lease_until - %s,"
                " next_attempt_time = next_attempt_time - %s",
                (back, back),
            )

    return Both(request.getfixturevalue("make_store")(LEASE_SECONDS), pull_times)


def _scope(key: str, rpc: Rpc = Rpc.CREATE_PAYMENT, user: str = "alice") -> Scope:
    return Scope("acme", user, rpc, key.encode().ljust(32, b"."))


def _new(minor_units: int = 1000, user: str = "alice", tenant: str = "acme") -> NewPayment:
    return NewPayment(
        tenant=tenant,
        created_by=user,
        amount=Money.of("KWD", minor_units),
        merchant_account_id=ACCOUNTS[0],
        clearing_account_id=ACCOUNTS[1],
        description="zwei Kännchen ☕",
        source=Source(SourceKind.CARD_TOKEN, "tok_visa"),
    )


async def test_key_is_leased_then_in_use_then_finished(both: Both) -> None:
    """The first call gets the lease, the second is told to wait, the third gets the answer."""
    lease = await both.lease()
    waiting = await both.store.reserve(_scope("k"), SAME, uuid.uuid4())
    assert isinstance(waiting, InUse)
    assert 0 < waiting.retry_after_seconds <= 2
    assert await both.store.reserve(_scope("k"), OTHER, uuid.uuid4()) == Reused()
    assert await both.store.answer(lease.operation_id) is None
    await both.store.refuse(lease, REFUSAL)
    assert await both.store.reserve(_scope("k"), SAME, uuid.uuid4()) == Finished(REFUSAL)
    assert await both.store.reserve(_scope("k"), OTHER, uuid.uuid4()) == Reused()
    assert await both.store.answer(lease.operation_id) == REFUSAL


@pytest.mark.parametrize(
    "other",
    [
        Scope("acme", "bob", Rpc.CREATE_PAYMENT, b"k".ljust(32, b".")),
        Scope("globex", "alice", Rpc.CREATE_PAYMENT, b"k".ljust(32, b".")),
        Scope("acme", "alice", Rpc.REFUND_PAYMENT, b"k".ljust(32, b".")),
        Scope("acme", "alice", Rpc.CREATE_PAYMENT, b"l".ljust(32, b".")),
    ],
)
async def test_scopes_are_apart(both: Both, other: Scope) -> None:
    """Tenant, user, RPC and key each make another scope."""
    await both.lease("k")
    assert isinstance(await both.store.reserve(other, OTHER, uuid.uuid4()), Lease)


async def test_lease_that_ran_out_is_taken_over_under_the_same_operation(both: Both) -> None:
    """The payment's id stays the first one's; the first holder can write no more."""
    first = await both.lease()
    both.pass_time(LEASE_SECONDS + 1)
    second = await both.lease()
    assert second.operation_id == first.operation_id
    assert second.token != first.token
    with pytest.raises(LeaseLostError):
        await both.store.begin_payment(first, _new())
    with pytest.raises(LeaseLostError):
        await both.store.refuse(first, REFUSAL)
    await both.store.release(first)
    payment = await both.store.begin_payment(second, _new())
    assert payment.payment_id == first.operation_id


async def test_each_write_extends_the_lease(both: Both) -> None:
    """A holder that makes progress keeps its lease."""
    lease = await both.lease()
    both.pass_time(LEASE_SECONDS - 5)
    await both.store.begin_payment(lease, _new())
    both.pass_time(LEASE_SECONDS - 5)
    assert isinstance(await both.store.reserve(_scope("k"), SAME, uuid.uuid4()), InUse)


async def test_released_lease_is_free_for_a_call_at_once_and_for_the_worker_later(
    both: Both,
) -> None:
    """A client may come back at once; the worker waits for its backoff."""
    lease = await both.lease()
    await both.store.begin_payment(lease, _new())
    await both.store.release(lease)
    assert await both.store.claim(8) == []
    both.pass_time(2)
    (work,) = await both.store.claim(8)
    assert (work.lease.operation_id, work.rpc) == (lease.operation_id, Rpc.CREATE_PAYMENT)
    assert await both.store.claim(8) == []
    await both.store.release(work.lease)
    assert isinstance(await both.store.reserve(_scope("k"), SAME, uuid.uuid4()), Lease)


async def test_worker_claims_only_what_was_begun(both: Both) -> None:
    """A reservation without a payment waits for its client, a finished one for nobody."""
    await both.lease("reserved")
    begun = await both.lease("begun")
    await both.store.begin_payment(begun, _new())
    await both.paid("paid")
    assert await both.store.claim(8) == []
    both.pass_time(LEASE_SECONDS + 1)
    assert [work.lease.operation_id for work in await both.store.claim(8)] == [begun.operation_id]


async def test_claim_is_bounded(both: Both) -> None:
    """A claim takes no more than it was asked for."""
    for number in range(3):
        await both.store.begin_payment(await both.lease(f"k{number}"), _new())
    both.pass_time(LEASE_SECONDS + 1)
    assert [len(await both.store.claim(2)) for _ in range(3)] == [2, 1, 0]


async def test_payment_is_read_as_it_was_written(both: Both) -> None:
    """Every field survives the way through the database, at each stage."""
    lease = await both.lease()
    begun = await both.store.begin_payment(lease, _new())
    assert await both.store.payment(begun.payment_id) == begun
    assert begun.source == Source(SourceKind.CARD_TOKEN, "tok_visa")
    charged = await both.store.move_payment(lease, lambda p: p.charged("ch_1"))
    assert await both.store.payment(begun.payment_id) == charged == begun.charged("ch_1")
    transfer = uuid.uuid4()
    paid = await both.store.move_payment(lease, lambda p: p.posted(transfer), lambda _: REPLY)
    assert await both.store.payment(begun.payment_id) == paid
    assert await both.store.reserve(_scope("k"), SAME, uuid.uuid4()) == Finished(REPLY)
    with pytest.raises(LeaseLostError):
        await both.store.move_payment(lease, lambda p: p)
    assert await both.store.payment(uuid.uuid4()) is None
    assert await both.store.refund(uuid.uuid4()) is None


async def test_declined_payment_has_no_source(both: Both) -> None:
    """The token is erased together with the decision."""
    lease = await both.lease()
    await both.store.begin_payment(lease, _new())
    failed = await both.store.move_payment(
        lease, lambda p: p.declined("card_declined"), lambda _: REFUSAL
    )
    assert await both.store.payment(failed.payment_id) == failed
    assert failed.source is None


async def test_refund_sets_aside_and_gives_back(both: Both) -> None:
    """Amounts are set aside with the refund and counted when it is finished."""
    payment = await both.paid()
    lease = await both.lease("r", Rpc.REFUND_PAYMENT)
    refund = await both.store.begin_refund(lease, payment.payment_id, Money.of("KWD", 400))
    assert await both.store.refund(refund.refund_id) == refund
    held = await both.store.payment(payment.payment_id)
    assert held is not None
    assert (held.set_aside_minor_units, held.refunded_minor_units) == (400, 0)
    other = await both.lease("r2", Rpc.REFUND_PAYMENT)
    with pytest.raises(RefundTooLargeError):
        await both.store.begin_refund(other, payment.payment_id, Money.of("KWD", 601))
    await both.store.move_refund(lease, lambda p, r: (p, r.returned("re_1")))
    transfer = uuid.uuid4()
    done = await both.store.move_refund(
        lease, lambda p, r: r.posted(p, transfer), lambda p: Success(str(p.state).encode())
    )
    assert await both.store.refund(refund.refund_id) == done
    after = await both.store.payment(payment.payment_id)
    assert after is not None
    assert (after.set_aside_minor_units, after.refunded_minor_units) == (400, 400)
    # The answer was made of the payment as it was in that transaction.
    assert await both.store.answer(refund.refund_id) == Success(b"State.PARTIALLY_REFUNDED")


async def test_refund_that_is_refused_by_the_rules_begins_nothing(both: Both) -> None:
    """A refusal inside the transaction leaves the payment, and the worker, as they were."""
    lease = await both.lease()
    payment = await both.store.begin_payment(lease, _new())
    other = await both.lease("r", Rpc.REFUND_PAYMENT)
    with pytest.raises(NotRefundableError):
        await both.store.begin_refund(other, payment.payment_id, None)
    assert await both.store.payment(payment.payment_id) == payment
    assert await both.store.refund(other.operation_id) is None
    await both.store.refuse(other, REFUSAL)
    both.pass_time(LEASE_SECONDS + 1)
    assert len(await both.store.claim(8)) == 1


async def test_pages_are_in_order_and_of_the_right_owner(both: Both) -> None:
    """Newest first, after the position, by tenant and, if asked, by user."""
    made = [
        await both.paid(f"k{number}", user="alice" if number % 2 else "carol")
        for number in range(5)
    ]
    newest_first = sorted(made, key=lambda p: (p.create_time, p.payment_id), reverse=True)
    assert await both.store.payments("acme", None, None, 10) == newest_first
    assert await both.store.payments("acme", None, None, 2) == newest_first[:2]
    after = Position(newest_first[1].create_time, newest_first[1].payment_id)
    assert await both.store.payments("acme", None, after, 10) == newest_first[2:]
    mine: list[Any] = [p for p in newest_first if p.created_by == "alice"]
    assert await both.store.payments("acme", "alice", None, 10) == mine
    assert await both.store.payments("globex", None, None, 10) == []
    assert await both.store.payments("globex", "alice", None, 10) == []
