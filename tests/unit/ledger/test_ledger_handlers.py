"""The use cases over a ledger in memory and a policy by table."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain import Account, AccountId, AccountKind, Leg, Opening, Posting, RequestId
from ledger.errors import AccountNotFoundError, CrossEntityTransferError, RequestIdReusedError
from ledger.handlers import Ledger
from ledger.testing import MemoryStore
from meshkit.context import activate
from meshkit.identity import SpiffeId
from meshkit.money import Currency, Money
from meshkit.pdp import ObjectDenied, PolicyUnavailable
from meshkit.testing import FakeObjectPolicy, call_context

EUR = Currency.parse("EUR")
JPY = Currency.parse("JPY")
PAYMENTS = SpiffeId.of_workload("paymesh.internal", "paymesh", "payments")
GATEWAY = SpiffeId.of_workload("paymesh.internal", "paymesh", "gateway")


@pytest.fixture(autouse=True)
def _call():
    """Every use case runs within a call."""
    with activate(call_context("payments")):
        yield


def request_id() -> RequestId:
    """A fresh one."""
    return RequestId(uuid.uuid4())


def make_ledger(policy: FakeObjectPolicy | None = None) -> Ledger:
    """An empty one."""
    return Ledger(store=MemoryStore(), policy=policy or FakeObjectPolicy.allow_all())


async def opened(
    ledger: Ledger,
    legal_entity: str = "acme",
    kind: AccountKind = AccountKind.MERCHANT,
    currency: Currency = EUR,
) -> Account:
    """A new account."""
    return await ledger.open_account(PAYMENTS, request_id(), Opening(legal_entity, kind, currency))


def posting(debit: Account, credit: Account, units: int, reference: str = "") -> Posting:
    """A transfer of two legs."""
    return Posting(
        legs=(
            Leg(debit.account_id, Money(debit.currency, -units)),
            Leg(credit.account_id, Money(credit.currency, units)),
        ),
        reference=reference,
    )


# An instruction: from, to (indices of accounts), how much, and whether it is sent twice.
instructions = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 2**40), st.booleans()),
    max_size=30,
)


@given(instructions)
def test_all_accounts_together_stay_zero(sent: list[tuple[int, int, int, bool]]) -> None:
    """After any sequence of transfers, some sent twice, the balances of all accounts sum to
    zero in each currency, and each is what the transfers that were accepted come to.
    """
    asyncio.run(_all_accounts_together_stay_zero(sent))


async def _all_accounts_together_stay_zero(sent: list[tuple[int, int, int, bool]]) -> None:
    ledger = make_ledger()
    with activate(call_context("payments")):
        accounts = [await opened(ledger, currency=(EUR, JPY)[index % 2]) for index in range(6)]
        expected: Counter[AccountId] = Counter()
        for source, target, units, twice in sent:
            debit, credit = accounts[source], accounts[target]
            if debit == credit or debit.currency != credit.currency:
                continue
            key = request_id()
            for _ in range(2 if twice else 1):
                await ledger.post_transfer(PAYMENTS, key, posting(debit, credit, units))
            expected[debit.account_id] -= units
            expected[credit.account_id] += units
        balances = await ledger.balances("acme", None, 100)
    totals: Counter[str] = Counter()
    for balance in balances:
        assert balance.minor_units == expected[balance.account.account_id]
        totals[balance.account.currency.code] += balance.minor_units
    assert totals == {"EUR": 0, "JPY": 0}


async def test_a_replay_is_a_no_op() -> None:
    """The same request again gives the first transfer and posts nothing."""
    ledger = make_ledger()
    debit, credit = await opened(ledger), await opened(ledger)
    key = request_id()
    first = await ledger.post_transfer(PAYMENTS, key, posting(debit, credit, 5))
    again = await ledger.post_transfer(PAYMENTS, key, posting(debit, credit, 5))
    assert again == first
    assert (await ledger.balance(credit.account_id)).entry_count == 1


async def test_a_request_id_with_other_contents() -> None:
    """A request id stands for its first contents for ever, per caller."""
    ledger = make_ledger()
    debit, credit = await opened(ledger), await opened(ledger)
    key = request_id()
    await ledger.post_transfer(PAYMENTS, key, posting(debit, credit, 5))
    with pytest.raises(RequestIdReusedError):
        await ledger.post_transfer(PAYMENTS, key, posting(debit, credit, 6))
    await ledger.post_transfer(GATEWAY, key, posting(debit, credit, 6))
    assert (await ledger.balance(credit.account_id)).minor_units == 11


async def test_there_is_one_clearing_account() -> None:
    """Asked for under another request id the clearing account is the same, not a second."""
    ledger = make_ledger()
    first = await opened(ledger, kind=AccountKind.CLEARING)
    assert await opened(ledger, kind=AccountKind.CLEARING) == first
    assert await opened(ledger, kind=AccountKind.CLEARING, currency=JPY) != first
    assert await opened(ledger, "globex", kind=AccountKind.CLEARING) != first
    assert await opened(ledger) != await opened(ledger)


async def test_an_account_that_does_not_exist() -> None:
    """No account is NOT_FOUND in all that take one, before the policy is asked about it."""
    policy = FakeObjectPolicy.allow_all()
    ledger = make_ledger(policy)
    known = await opened(ledger)
    policy.questions.clear()
    nobody = AccountId(uuid.uuid4())
    legs = (Leg(nobody, Money(EUR, 1)), Leg(known.account_id, Money(EUR, -1)))
    with pytest.raises(AccountNotFoundError):
        await ledger.balance(nobody)
    with pytest.raises(AccountNotFoundError):
        await ledger.entries(nobody, 0, 10)
    with pytest.raises(AccountNotFoundError) as raised:
        await ledger.post_transfer(PAYMENTS, request_id(), Posting(legs=legs, reference=""))
    assert raised.value.metadata == {"account_id": str(nobody)}
    assert policy.questions == []


async def test_a_transfer_across_legal_entities() -> None:
    """Accounts of two legal entities are refused although policy would allow either."""
    ledger = make_ledger()
    debit, credit = await opened(ledger), await opened(ledger, "globex")
    with pytest.raises(CrossEntityTransferError):
        await ledger.post_transfer(PAYMENTS, request_id(), posting(debit, credit, 5))
    assert (await ledger.balance(credit.account_id)).entry_count == 0


async def test_what_the_policy_is_asked() -> None:
    """The questions hold action, legal entity and kind; one for each kind of account."""
    policy = FakeObjectPolicy.allow_all()
    ledger = make_ledger(policy)
    merchants = [await opened(ledger) for _ in range(3)]
    clearing = await opened(ledger, kind=AccountKind.CLEARING)
    policy.questions.clear()
    legs = (
        *(Leg(account.account_id, Money(EUR, 1)) for account in merchants),
        Leg(clearing.account_id, Money(EUR, -3)),
    )
    await ledger.open_account(PAYMENTS, request_id(), Opening("acme", AccountKind.MERCHANT, EUR))
    await ledger.post_transfer(PAYMENTS, request_id(), Posting(legs=legs, reference=""))
    await ledger.balance(clearing.account_id)
    await ledger.entries(clearing.account_id, 0, 10)
    await ledger.balances("acme", None, 10)
    merchant_facts = {"tenant": "acme", "kind": "MERCHANT"}
    clearing_facts = {"tenant": "acme", "kind": "CLEARING"}
    assert [(question["action"], question["object"]) for question in policy.questions] == [
        ("accounts.open", merchant_facts),
        ("accounts.post", merchant_facts),
        ("accounts.post", clearing_facts),
        ("accounts.read", clearing_facts),
        ("accounts.read", clearing_facts),
        ("accounts.read", {"tenant": "acme"}),
    ]


async def test_what_is_denied() -> None:
    """Denied: one account is NOT_FOUND, a legal entity is OBJECT_DENIED, and nothing happens."""
    denied = False

    def rule(_question: Mapping[str, object]) -> bool:
        return not denied

    store = MemoryStore()
    ledger = Ledger(store=store, policy=FakeObjectPolicy(rule))
    debit, credit = await opened(ledger), await opened(ledger)
    denied = True
    with pytest.raises(AccountNotFoundError):
        await ledger.balance(debit.account_id)
    with pytest.raises(AccountNotFoundError):
        await ledger.entries(debit.account_id, 0, 10)
    with pytest.raises(AccountNotFoundError):
        await ledger.post_transfer(PAYMENTS, request_id(), posting(debit, credit, 5))
    with pytest.raises(ObjectDenied):
        await ledger.balances("acme", None, 10)
    with pytest.raises(ObjectDenied):
        await opened(ledger)
    balances = await store.balances("acme", None, 10)
    assert [(balance.minor_units, balance.entry_count) for balance in balances] == [(0, 0), (0, 0)]


async def test_a_replay_is_asked_about_too() -> None:
    """The first answer is not given to somebody whom policy refuses now."""
    denied = False
    ledger = make_ledger(FakeObjectPolicy(lambda _question: not denied))
    debit, credit = await opened(ledger), await opened(ledger)
    key = request_id()
    await ledger.post_transfer(PAYMENTS, key, posting(debit, credit, 5))
    denied = True
    with pytest.raises(AccountNotFoundError):
        await ledger.post_transfer(PAYMENTS, key, posting(debit, credit, 5))


async def test_without_a_policy_engine_nothing_happens() -> None:
    """The policy engine out of reach is its own answer, not a denial, and nothing is written."""
    policy = FakeObjectPolicy.allow_all()
    store = MemoryStore()
    ledger = Ledger(store=store, policy=policy)
    debit, credit = await opened(ledger), await opened(ledger)
    policy.available = False
    with pytest.raises(PolicyUnavailable):
        await ledger.post_transfer(PAYMENTS, request_id(), posting(debit, credit, 5))
    with pytest.raises(PolicyUnavailable):
        await ledger.balance(debit.account_id)
    with pytest.raises(PolicyUnavailable):
        await opened(ledger)
    balances = await store.balances("acme", None, 10)
    assert [balance.entry_count for balance in balances] == [0, 0]
