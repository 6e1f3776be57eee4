"""Accounts, legs and transfers, and the rules that they keep.

Pure: no I/O, no clock, no randomness. What exists has been checked; a
`Posting` that does not sum to zero cannot be constructed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import NewType

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
from meshkit.money import Currency, Money

AccountId = NewType("AccountId", uuid.UUID)
TransferId = NewType("TransferId", uuid.UUID)
RequestId = NewType("RequestId", uuid.UUID)

LARGEST_MINOR_UNITS = 2**63 - 1
FEWEST_LEGS = 2
MOST_LEGS = 100
LONGEST_REFERENCE_CHARACTERS = 140


class AccountKind(enum.Enum):
    """What an account is for. It decides nothing here: a sign is a sign.

    The values are the names of the API, and so are those in the database. Questions
    to the policy engine have the names without the prefix.
    """

    MERCHANT = "ACCOUNT_KIND_MERCHANT"
    CLEARING = "ACCOUNT_KIND_CLEARING"


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """An account that somebody asks for."""

    legal_entity: str
    kind: AccountKind
    currency: Currency

    def content_hash(self) -> bytes:
        """32 bytes, equal when and only when the contents are."""
        return _digest("open-account", self.legal_entity, self.kind.value, self.currency.code)


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One currency, one legal entity, for ever."""

    account_id: AccountId
    legal_entity: str
    kind: AccountKind
    currency: Currency
    create_time: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Leg:
    """One side of a transfer: a credit when positive, a debit when negative.

    Raises:
        ZeroLegError: the amount is zero.
        AmountOutOfRangeError: the amount or its opposite is no int64, so that
            it could not be stored or not be reversed.
    """

    account_id: AccountId
    amount: Money

    def __post_init__(self) -> None:
        if self.amount.minor_units == 0:
            raise ZeroLegError(metadata=_account(self.account_id))
        if abs(self.amount.minor_units) > LARGEST_MINOR_UNITS:
            raise AmountOutOfRangeError(metadata=_account(self.account_id))


@dataclasses.dataclass(frozen=True, slots=True)
class Posting:
    """A transfer that somebody asks for: legs that sum to zero in each currency.

    Raises:
        InvalidTransferError: fewer than 2 or more than 100 legs, or a reference
            that is too long.
        DuplicateAccountError: an account twice.
        UnbalancedTransferError: the legs of some currency do not sum to zero.
    """

    legs: tuple[Leg, ...]
    reference: str

    def __post_init__(self) -> None:
        if not FEWEST_LEGS <= len(self.legs) <= MOST_LEGS:
            raise InvalidTransferError("legs", f"There are {FEWEST_LEGS} to {MOST_LEGS} legs.")
        _check_reference(self.reference)
        accounts = Counter(leg.account_id for leg in self.legs)
        (account_id, times), *_ = accounts.most_common(1)
        if times > 1:
            raise DuplicateAccountError(metadata=_account(account_id))
        # Python's integers do not overflow, so neither does a sum of int64s.
        sums: Counter[str] = Counter()
        for leg in self.legs:
            sums[leg.amount.currency.code] += leg.amount.minor_units
        lopsided = sorted(code for code, total in sums.items() if total != 0)
        if lopsided:
            raise UnbalancedTransferError(metadata={"currency_codes": ",".join(lopsided)})

    def content_hash(self) -> bytes:
        """32 bytes, equal when and only when legs and reference are, in whatever order the
        legs stand: no account is there twice, so their order means nothing.
        """
        legs = sorted(
            [str(leg.account_id), leg.amount.currency.code, leg.amount.minor_units]
            for leg in self.legs
        )
        return _digest("post-transfer", legs, self.reference)

    def legal_entity_in(self, accounts: Mapping[AccountId, Account]) -> str:
        """The one legal entity that all the accounts belong to.

        `accounts` holds every account of the legs.

        Raises:
            CurrencyMismatchError: a leg is in another currency than its account.
            CrossEntityTransferError: there is more than one legal entity.
        """
        for leg in self.legs:
            if leg.amount.currency != accounts[leg.account_id].currency:
                raise CurrencyMismatchError(metadata=_account(leg.account_id))
        entities = {accounts[leg.account_id].legal_entity for leg in self.legs}
        if len(entities) > 1:
            raise CrossEntityTransferError
        return entities.pop()


@dataclasses.dataclass(frozen=True, slots=True)
class Transfer:
    """A posting that has been posted."""

    transfer_id: TransferId
    posting: Posting
    create_time: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line of an account."""

    entry_id: int
    transfer_id: TransferId
    amount: Money
    reference: str
    create_time: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Balance:
    """What an account's entries add up to, and how many they are."""

    account: Account
    minor_units: int
    entry_count: int

    def amount(self) -> Money:
        """The sum as money of the account's currency.

        Raises:
            BalanceOutOfRangeError: it is no int64.
        """
        if abs(self.minor_units) > LARGEST_MINOR_UNITS:
            raise BalanceOutOfRangeError(metadata=_account(self.account.account_id))
        return Money(self.account.currency, self.minor_units)


def _check_reference(reference: str) -> None:
    if len(reference) > LONGEST_REFERENCE_CHARACTERS:
        raise InvalidTransferError(
            "reference", f"It is longer than {LONGEST_REFERENCE_CHARACTERS} characters."
        )
    if "\0" in reference:
        # PostgreSQL's text holds any character but this one.
        raise InvalidTransferError("reference", "It holds a NUL character.")


def _account(account_id: AccountId) -> dict[str, str]:
    return {"account_id": str(account_id)}


def _digest(*parts: object) -> bytes:
    """SHA-256 of the parts as JSON: strings are quoted and lists bracketed, so that different
    parts never run into the same text.
    """
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()
