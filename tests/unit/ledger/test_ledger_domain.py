"""The rules of a transfer, over all transfers that Hypothesis can think of."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import itertools
import uuid
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ledger.domain
from ledger.domain import (
    LARGEST_MINOR_UNITS,
    Account,
    AccountId,
    AccountKind,
    Balance,
    Leg,
    Opening,
    Posting,
)
from ledger.errors import (
    AmountOutOfRangeError,
    BalanceOutOfRangeError,
    CrossEntityTransferError,
    CurrencyMismatchError,
    DuplicateAccountError,
    InvalidTransferError,
    UnbalancedTransferError,
    ZeroLegError,
)
from meshkit.money import CURRENCIES, Currency, Money

EUR = Currency.parse("EUR")
USD = Currency.parse("USD")

first_ids = st.integers(1, 2**100)
currencies = st.sampled_from(sorted(CURRENCIES.values(), key=lambda currency: currency.code))
# So that the last leg of up to 100, the opposite of all others, stays an int64.
minor_units = st.integers(-(2**56), 2**56).filter(lambda units: units != 0)


@st.composite
def balanced_legs(draw: st.DrawFn) -> tuple[Leg, ...]:
    """Legs in 1 to 3 currencies, each of which sums to zero."""
    # Ids in a row from anywhere: cheaper to draw than as many UUIDs, and as different.
    ids = (AccountId(uuid.UUID(int=number)) for number in itertools.count(draw(first_ids)))
    by_currency = draw(
        st.dictionaries(
            currencies, st.lists(minor_units, min_size=1, max_size=5), min_size=1, max_size=3
        )
    )
    legs: list[Leg] = []
    for currency, units in by_currency.items():
        assume(sum(units) != 0)
        legs += [Leg(next(ids), Money(currency, amount)) for amount in (*units, -sum(units))]
    return tuple(legs)


references = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=140
)
postings = st.builds(Posting, legs=balanced_legs(), reference=references)


def leg(units: int, currency: Currency = EUR, account_id: AccountId | None = None) -> Leg:
    """A leg of some account."""
    return Leg(account_id or AccountId(uuid.uuid4()), Money(currency, units))


def account_of(
    leg: Leg, *, legal_entity: str = "acme", currency: Currency | None = None
) -> Account:
    """The account that a leg belongs to."""
    return Account(
        account_id=leg.account_id,
        legal_entity=legal_entity,
        kind=AccountKind.MERCHANT,
        currency=currency or leg.amount.currency,
        create_time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )


@given(postings)
def test_what_exists_sums_to_zero(posting: Posting) -> None:
    """The legs of any posting sum to zero in each of its currencies."""
    for code in {leg.amount.currency.code for leg in posting.legs}:
        units = [leg.amount.minor_units for leg in posting.legs if leg.amount.currency.code == code]
        assert sum(units) == 0


@given(postings, st.data())
def test_one_leg_changed_is_unbalanced(posting: Posting, data: st.DataObject) -> None:
    """A balanced posting of which one leg's amount changes is refused."""
    index = data.draw(st.integers(0, len(posting.legs) - 1))
    changed = posting.legs[index]
    units = data.draw(minor_units)
    assume(units != changed.amount.minor_units)
    legs = list(posting.legs)
    legs[index] = Leg(changed.account_id, Money(changed.amount.currency, units))
    with pytest.raises(UnbalancedTransferError) as raised:
        Posting(legs=tuple(legs), reference=posting.reference)
    assert raised.value.metadata == {"currency_codes": changed.amount.currency.code}


@given(postings, st.data())
def test_one_leg_missing_is_refused(posting: Posting, data: st.DataObject) -> None:
    """A balanced posting of which one leg is left out is refused."""
    index = data.draw(st.integers(0, len(posting.legs) - 1))
    legs = posting.legs[:index] + posting.legs[index + 1 :]
    with pytest.raises((UnbalancedTransferError, InvalidTransferError)):
        Posting(legs=legs, reference=posting.reference)


def test_currencies_do_not_make_up_for_each_other() -> None:
    """Ten of one currency do not balance ten of another."""
    with pytest.raises(UnbalancedTransferError) as raised:
        Posting(legs=(leg(10, EUR), leg(-10, USD)), reference="")
    assert raised.value.metadata == {"currency_codes": "EUR,USD"}


@pytest.mark.parametrize("count", [0, 1, 101])
def test_number_of_legs(count: int) -> None:
    """Fewer than 2 or more than 100 legs are no transfer."""
    legs = tuple(leg(1) for _ in range(count))
    with pytest.raises(InvalidTransferError) as raised:
        Posting(legs=legs, reference="")
    assert raised.value.violations == (("legs", "There are 2 to 100 legs."),)


def test_a_hundred_legs_are_a_transfer() -> None:
    """The largest transfer is one of 100 legs."""
    legs = (*(leg(1) for _ in range(99)), leg(-99))
    assert len(Posting(legs=legs, reference="x" * 140).legs) == 100


def test_zero_leg() -> None:
    """A leg of nothing is refused."""
    with pytest.raises(ZeroLegError):
        leg(0)


@given(postings)
def test_account_twice(posting: Posting) -> None:
    """An account with two legs is refused, even when they balance."""
    twice = posting.legs[0]
    more = (
        Leg(twice.account_id, Money(twice.amount.currency, 1)),
        leg(-1, twice.amount.currency),
    )
    with pytest.raises(DuplicateAccountError) as raised:
        Posting(legs=posting.legs + more, reference="")
    assert raised.value.metadata == {"account_id": str(twice.account_id)}


def test_the_largest_leg_can_be_reversed() -> None:
    """Both ends of the range are legs, and each is the other's opposite."""
    legs = (leg(LARGEST_MINOR_UNITS), leg(-LARGEST_MINOR_UNITS))
    assert Posting(legs=legs, reference="").legs == legs


def test_the_one_int64_without_an_opposite() -> None:
    """-2**63 fits into the field, but its reversal would not: it is refused."""
    with pytest.raises(AmountOutOfRangeError):
        leg(-(2**63))


def test_sums_do_not_overflow() -> None:
    """Legs whose partial sums leave int64 balance by their true sum, not modulo 2**64."""
    big = 2**62
    legs = (leg(big), leg(big), leg(big), leg(big))
    with pytest.raises(UnbalancedTransferError):
        Posting(legs=legs, reference="")
    opposite = tuple(leg(-big) for _ in range(4))
    assert len(Posting(legs=legs + opposite, reference="").legs) == 8


@pytest.mark.parametrize("reference", ["x" * 141, "a\0b"])
def test_references_that_cannot_be_kept(reference: str) -> None:
    """A reference is at most 140 characters, none of them NUL."""
    with pytest.raises(InvalidTransferError) as raised:
        Posting(legs=(leg(1), leg(-1)), reference=reference)
    assert [field for field, _ in raised.value.violations] == ["reference"]


@given(postings, st.randoms(use_true_random=False))
def test_the_order_of_legs_is_no_content(posting: Posting, random) -> None:
    """A posting with its legs in another order has the same contents."""
    shuffled = list(posting.legs)
    random.shuffle(shuffled)
    again = Posting(legs=tuple(shuffled), reference=posting.reference)
    assert again.content_hash() == posting.content_hash()


@given(postings, postings)
def test_different_contents_hash_differently(one: Posting, other: Posting) -> None:
    """Two postings hash alike when and only when legs and reference are the same."""
    same = frozenset(one.legs) == frozenset(other.legs) and one.reference == other.reference
    assert (one.content_hash() == other.content_hash()) is same


@given(postings, references)
def test_the_reference_is_content(posting: Posting, reference: str) -> None:
    """The same legs with another reference are other contents."""
    other = dataclasses.replace(posting, reference=reference)
    same = posting.reference == reference
    assert (posting.content_hash() == other.content_hash()) is same


def test_openings_hash_by_all_their_contents() -> None:
    """Legal entity, kind and currency each make another opening."""
    openings = [
        Opening(legal_entity, kind, currency)
        for legal_entity in ("acme", "globex")
        for kind in AccountKind
        for currency in (EUR, USD)
    ]
    assert len({opening.content_hash() for opening in openings}) == len(openings)
    assert all(len(opening.content_hash()) == 32 for opening in openings)


@given(postings)
def test_one_legal_entity(posting: Posting) -> None:
    """Accounts of one legal entity yield it; a single other one is refused."""
    accounts = {leg.account_id: account_of(leg) for leg in posting.legs}
    assert posting.legal_entity_in(accounts) == "acme"
    other = posting.legs[-1]
    accounts[other.account_id] = account_of(other, legal_entity="globex")
    with pytest.raises(CrossEntityTransferError):
        posting.legal_entity_in(accounts)


@given(postings, currencies)
def test_a_leg_in_another_currency_than_its_account(posting: Posting, currency: Currency) -> None:
    """A leg is in its account's currency or the posting is refused."""
    odd = posting.legs[0]
    assume(odd.amount.currency != currency)
    accounts = {leg.account_id: account_of(leg) for leg in posting.legs}
    accounts[odd.account_id] = account_of(odd, currency=currency)
    with pytest.raises(CurrencyMismatchError) as raised:
        posting.legal_entity_in(accounts)
    assert raised.value.metadata == {"account_id": str(odd.account_id)}


@pytest.mark.parametrize("units", [LARGEST_MINOR_UNITS, -LARGEST_MINOR_UNITS])
def test_balances_within_int64(units: int) -> None:
    """A balance is money as long as it fits into 64 bits, and says so when it does not."""
    account = account_of(leg(1))
    assert Balance(account, units, 1).amount() == Money(EUR, units)
    with pytest.raises(BalanceOutOfRangeError):
        Balance(account, units * 2, 2).amount()


def test_the_domain_imports_neither_grpc_nor_a_driver() -> None:
    """domain.py imports the standard library, ledger.errors and meshkit's types, and no more."""
    tree = ast.parse(Path(ledger.domain.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    outside = {
        name for name in imported if name.split(".")[0] in {"grpc", "psycopg", "paymesh", "google"}
    }
    assert outside == set()
    assert {name for name in imported if name.split(".")[0] in {"ledger", "meshkit"}} == {
        "ledger.errors",
        "meshkit.money",
    }
