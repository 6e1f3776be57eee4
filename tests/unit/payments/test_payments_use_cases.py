"""What each use case answers, refuses and asks."""

from __future__ import annotations

import uuid

import pytest

from meshkit.context import User, activate
from meshkit.paging import InvalidPageToken
from meshkit.pdp import ObjectDenied, PolicyUnavailable
from meshkit.testing import FakeObjectPolicy, call_context
from payments.domain import Payment, Source, SourceKind
from payments.door import CreateCommand
from payments.errors import (
    IdempotencyKeyInUseError,
    IdempotencyKeyReusedError,
    LedgerUnavailableError,
    PaymentNotFoundError,
    ProviderUnavailableError,
)
from payments.idempotency import Answer, Failure, Success
from payments.ports import Link, MerchantAccount
from payments.queries import GetPayment, ListPayments
from payments.testing import Fault, Stepped, World
from paymesh.payments.v1 import payments_pb2

ALICE = User("alice", "acme", frozenset({"customer"}))
CAROL = User("carol", "acme", frozenset({"customer"}))
BOB = User("bob", "globex", frozenset({"customer"}))
OLIVIA = User("olivia", "acme", frozenset({"operator"}))
OSCAR = User("oscar", "globex", frozenset({"operator"}))
AUDREY = User("audrey", "acme", frozenset({"auditor"}))


def _reason(answer: Answer) -> str:
    return answer.reason if isinstance(answer, Failure) else "OK"


def _created(answer: Answer) -> payments_pb2.Payment:
    assert isinstance(answer, Success)
    return payments_pb2.CreatePaymentResponse.FromString(answer.payload).payment


def _refunded(answer: Answer) -> payments_pb2.Payment:
    assert isinstance(answer, Success)
    return payments_pb2.RefundPaymentResponse.FromString(answer.payload).payment


async def _paid(world: World, key: str = "k", minor_units: int = 1000) -> uuid.UUID:
    answer = await world.create(world.create_command(key, minor_units=minor_units))
    return uuid.UUID(_created(answer).payment_id)


def _with_link(command: CreateCommand, link_id: uuid.UUID) -> CreateCommand:
    return CreateCommand(
        command.key_hash,
        command.amount,
        Source(SourceKind.BANK_LINK, str(link_id)),
        command.merchant_account_id,
        command.description,
    )


async def test_payment_debits_clearing_and_credits_the_merchant() -> None:
    """The reply says what was asked for; the ledger has one transfer with the payment's id."""
    world = World()
    payment = _created(await world.create(world.create_command("k")))
    assert payment.state == payments_pb2.PAYMENT_STATE_SUCCEEDED
    assert (payment.amount.currency_code, payment.amount.minor_units) == ("EUR", 1250)
    assert (payment.refunded_amount.currency_code, payment.refunded_amount.minor_units) == (
        "EUR",
        0,
    )
    assert payment.created_by == "alice"
    assert payment.description == "two coffees"
    assert payment.create_time.ToDatetime().year == 2026
    (transfer,) = world.ledger.transfers
    clearing = await world.ledger.clearing_account("acme", "EUR")
    assert (transfer.debit_account_id, transfer.credit_account_id) == (clearing, world.merchant)
    assert payment.payment_id in transfer.reference


async def test_key_with_another_request_is_refused() -> None:
    """One key is one request; the other one moves no money."""
    world = World()
    await world.create(world.create_command("k"))
    with pytest.raises(IdempotencyKeyReusedError):
        await world.create(world.create_command("k", minor_units=9))
    assert len(world.provider.charges) == 1


async def test_key_with_another_request_is_refused_while_the_first_runs() -> None:
    """That it is another request is said at once, whatever the first is doing."""
    world = World()
    world.turns.stepping = True
    first = Stepped(world.create(world.create_command("k")))
    first.step()
    first.step()
    world.turns.stepping = False
    with pytest.raises(IdempotencyKeyReusedError):
        await world.create(world.create_command("k", minor_units=9))
    with pytest.raises(IdempotencyKeyInUseError):
        await world.create(world.create_command("k"))
    first.kill()


async def test_key_belongs_to_one_user() -> None:
    """Two users, of one tenant or of two, may choose the same key and hear their own answer."""
    world = World()
    first = await world.create(world.create_command("k"))
    second = await world.create(world.create_command("k"), CAROL)
    assert _created(first).payment_id != _created(second).payment_id
    assert _reason(await world.create(world.create_command("k"), BOB)) == "ACCOUNT_NOT_FOUND"


async def test_key_of_a_payment_is_free_for_a_refund() -> None:
    """The RPC is part of the scope."""
    world = World()
    payment_id = await _paid(world)
    both = User("alice", "acme", frozenset({"operator"}))
    assert _reason(await world.refund("k", payment_id, 1, both)) == "OK"


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (None, "ACCOUNT_NOT_FOUND"),
        (MerchantAccount("globex", is_merchant=True, currency_code="EUR"), "ACCOUNT_NOT_FOUND"),
        (MerchantAccount("acme", is_merchant=False, currency_code="EUR"), "ACCOUNT_NOT_FOUND"),
        (MerchantAccount("acme", is_merchant=True, currency_code="USD"), "CURRENCY_MISMATCH"),
    ],
)
async def test_account_that_does_not_fit_is_refused_before_a_charge(
    account: MerchantAccount | None, reason: str
) -> None:
    """Nobody is charged for an account that is not there, not theirs or in another currency."""
    world = World()
    world.ledger.accounts.clear()
    if account is not None:
        world.ledger.accounts[world.merchant] = account
    first = await world.create(world.create_command("k"))
    assert _reason(first) == reason
    assert world.provider.charges == []
    # The first answer stays the answer, although it would be another one now.
    world.ledger.accounts[world.merchant] = MerchantAccount("acme", True, "EUR")  # noqa: FBT003
    assert await world.create(world.create_command("k")) == first


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        (Link("alice", "SUCCESS"), "OK"),
        (Link("alice", "PENDING"), "LINK_NOT_FOUND"),
        (Link("alice", "FAILED"), "LINK_NOT_FOUND"),
        (Link("carol", "SUCCESS"), "LINK_NOT_FOUND"),
        (None, "LINK_NOT_FOUND"),
    ],
)
async def test_bank_link_must_be_the_users_own_and_verified(link: Link | None, reason: str) -> None:
    """Only a verified link of the same user is charged, and policy is asked about it."""
    world = World()
    link_id = uuid.uuid4()
    if link is not None:
        world.links.links[link_id] = link
    answer = await world.create(_with_link(world.create_command("k"), link_id))
    assert _reason(answer) == reason
    assert [charge.about for charge in world.provider.charges] == (
        [str(link_id)] if reason == "OK" else []
    )
    asked = [question["action"] for question in world.policy.questions]
    assert asked == (["links.use"] if link and link.state == "SUCCESS" else [])


async def test_partner_away_before_anything_was_begun_leaves_the_key_free() -> None:
    """Ledger, bank-link or policy away during the checks: UNAVAILABLE, and a retry starts over."""
    world = World()
    link_id = uuid.uuid4()
    world.links.links[link_id] = Link("alice", "SUCCESS")
    command = _with_link(world.create_command("k"), link_id)
    world.ledger.fault = Fault.LOST_REQUEST
    with pytest.raises(LedgerUnavailableError):
        await world.create(command)
    world.ledger.fault = Fault.NONE
    world.links.is_available = False
    with pytest.raises(ProviderUnavailableError):
        await world.create(command)
    world.links.is_available = True
    world.policy.available = False
    with pytest.raises(PolicyUnavailable):
        await world.create(command)
    assert await world.work() == 0
    world.policy.available = True
    assert _reason(await world.create(command)) == "OK"
    assert len(world.provider.charges) == 1


async def test_late_refusal_does_not_overrule_the_holder_after() -> None:
    """A call that hung with `no such account` in its hand hears the answer of who took over."""
    world = World()
    account = world.ledger.accounts.pop(world.merchant)
    world.turns.stepping = True
    hanging = Stepped(world.create(world.create_command("k")))
    # Reserved, looked for a payment, asked the ledger; about to write down the refusal.
    for _ in range(5):
        hanging.step()
    world.turns.stepping = False
    world.ledger.accounts[world.merchant] = account
    world.pass_time(21)
    answer = await world.create(world.create_command("k"))
    assert _reason(answer) == "OK"
    assert hanging.finish() == answer


async def test_refunds_in_parts() -> None:
    """Parts are given back until nothing is left, and the merchant's balance follows."""
    world = World()
    payment_id = await _paid(world)
    part = _refunded(await world.refund("r1", payment_id, 400))
    assert part.state == payments_pb2.PAYMENT_STATE_PARTIALLY_REFUNDED
    assert part.refunded_amount.minor_units == 400
    assert _reason(await world.refund("r2", payment_id, 601)) == "REFUND_EXCEEDS_PAYMENT"
    rest = _refunded(await world.refund("r3", payment_id, None))
    assert rest.state == payments_pb2.PAYMENT_STATE_REFUNDED
    assert rest.refunded_amount.minor_units == 1000
    assert _reason(await world.refund("r4", payment_id, None)) == "PAYMENT_NOT_REFUNDABLE"
    assert _reason(await world.refund("r5", payment_id, 1)) == "PAYMENT_NOT_REFUNDABLE"
    assert world.ledger.balance(world.merchant) == 0
    # The first answers are what they were.
    assert _refunded(await world.refund("r1", payment_id, 400)) == part


async def test_payment_answer_stays_as_it_was_after_a_refund() -> None:
    """A retry of CreatePayment hears SUCCEEDED, byte for byte, although it was given back since."""
    world = World()
    command = world.create_command("k")
    first = await world.create(command)
    await world.refund("r", uuid.UUID(_created(first).payment_id), None)
    assert await world.create(command) == first


async def test_refund_that_the_provider_rejects_frees_its_amount() -> None:
    """A rejected refund is an answer, and what it had set aside can be given back by another."""
    world = World()
    payment_id = await _paid(world)
    world.provider.unrefundable = True
    answer = await world.refund("r1", payment_id, None)
    assert isinstance(answer, Failure)
    assert answer.reason == "PAYMENT_NOT_REFUNDABLE"
    assert answer.metadata == {"failure_code": "charge_disputed"}
    world.provider.unrefundable = False
    assert _reason(await world.refund("r1", payment_id, None)) == "PAYMENT_NOT_REFUNDABLE"
    assert _reason(await world.refund("r2", payment_id, None)) == "OK"


@pytest.mark.parametrize("user", [ALICE, OSCAR, BOB])
async def test_refund_by_who_may_not_is_not_found(user: User) -> None:
    """Policy's no to a refund looks like a payment that is not there; nothing is given back."""
    world = World()
    payment_id = await _paid(world)
    assert _reason(await world.refund("r", payment_id, None, user)) == "PAYMENT_NOT_FOUND"
    assert world.provider.refunds == []


async def test_refund_of_no_payment_is_not_found() -> None:
    """An id that nobody gave is PAYMENT_NOT_FOUND."""
    assert _reason(await World().refund("r", uuid.uuid4(), None)) == "PAYMENT_NOT_FOUND"


async def test_killed_refund_is_finished_once_wherever_it_died() -> None:
    """Killed at any await, worker and retry give the money back once and post it once."""
    step = 0
    while True:
        step += 1
        world = World()
        payment_id = await _paid(world)
        world.turns.stepping = True
        call = Stepped(world.refund("r", payment_id, 300))
        for _ in range(step):
            call.step()
        if call.is_over:
            break
        world.turns.stepping = False
        call.kill()
        world.pass_time(21)
        await world.work()
        assert len(world.provider.refunds) == len(world.ledger.transfers) - 1
        answer = await world.refund("r", payment_id, 300)
        assert _refunded(answer).refunded_amount.minor_units == 300
        assert len(world.provider.refunds) == 1
        assert world.ledger.balance(world.merchant) == 700
    assert step > 10


@pytest.mark.parametrize(
    ("user", "sees"), [(ALICE, True), (OLIVIA, True), (AUDREY, True), (CAROL, False), (BOB, False)]
)
async def test_one_payment_is_seen_by_its_maker_and_the_tenants_staff(
    user: User,
    sees: bool,  # noqa: FBT001
) -> None:
    """Whoever may not see a payment is told the same as for one that is not there."""
    world = World()
    payment_id = await _paid(world)
    get = GetPayment(world.store, world.policy)
    with activate(call_context("gateway", user)):
        if sees:
            assert (await get(payment_id)).payment_id == payment_id
        else:
            with pytest.raises(PaymentNotFoundError) as denied:
                await get(payment_id)
            with pytest.raises(PaymentNotFoundError) as missing:
                await get(uuid.uuid4())
            assert str(denied.value) == str(missing.value)


@pytest.mark.parametrize(
    ("user", "count"), [(ALICE, 5), (CAROL, 3), (OLIVIA, 8), (AUDREY, 8), (BOB, 0)]
)
@pytest.mark.parametrize("size", [1, 2, 3, 50])
async def test_pages_hold_each_payment_once_newest_first(user: User, count: int, size: int) -> None:
    """The pages of a list, in whatever size, are what the user may see, in order, each once."""
    world = World()
    for number in range(8):
        # Some at the same instant: the id decides.
        world.pass_time(number % 2)
        maker = ALICE if number < 5 else CAROL
        await world.create(world.create_command(f"k{number}"), maker)
    list_payments = ListPayments(world.store, world.policy)
    seen: list[Payment] = []
    token = ""
    with activate(call_context("gateway", user)):
        while True:
            page = await list_payments(user, size, token)
            assert len(page.payments) <= size
            seen += page.payments
            token = page.next_page_token
            if not token:
                break
    assert len({payment.payment_id for payment in seen}) == len(seen) == count
    places = [(payment.create_time, payment.payment_id) for payment in seen]
    assert places == sorted(places, reverse=True)


async def test_page_token_of_another_user_is_refused() -> None:
    """A token belongs to the query of the user who got it."""
    world = World()
    for number in range(3):
        await world.create(world.create_command(f"k{number}"))
    list_payments = ListPayments(world.store, world.policy)
    with activate(call_context("gateway", ALICE)):
        token = (await list_payments(ALICE, 1, "")).next_page_token
    for user in (CAROL, OLIVIA, BOB):
        with activate(call_context("gateway", user)), pytest.raises(InvalidPageToken):
            await list_payments(user, 1, token)


async def test_list_that_policy_refuses_is_refused() -> None:
    """The list is asked for like everything else."""
    world = World()
    list_payments = ListPayments(world.store, FakeObjectPolicy())
    with activate(call_context("gateway", ALICE)), pytest.raises(ObjectDenied):
        await list_payments(ALICE, 0, "")
