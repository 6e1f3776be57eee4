"""Requests parsed into types. Whatever is refused here has left no trace.

protovalidate has checked the fields' forms before; what it cannot say is
checked here, card numbers first.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
import uuid
from collections.abc import Mapping

from meshkit import money
from meshkit.cards import contains_card_number
from meshkit.errors import InvalidRequest
from meshkit.money import Money
from payments.domain import Source, SourceKind
from payments.errors import CardNumberRefusedError, UnknownCurrencyError
from payments.idempotency import Rpc, hash_key, hash_request
from paymesh.money.v1 import money_pb2
from paymesh.payments.v1 import payments_pb2

# The provider takes no more at once; policy's limits are far below.
MAX_MINOR_UNITS = 10**12
MAX_DESCRIPTION_CHARACTERS = 140

_TOKEN = re.compile(r"(?:tok|pm)_[A-Za-z0-9_]{4,64}")
_KEY = re.compile(r"[!-~]{1,255}")


@dataclasses.dataclass(frozen=True)
class CreateCommand:
    """A CreatePayment that may be begun."""

    key_hash: bytes
    amount: Money
    source: Source
    merchant_account_id: uuid.UUID
    description: str

    def request_hash(self) -> bytes:
        """What makes this request the same as another."""
        return hash_request(
            Rpc.CREATE_PAYMENT,
            {
                "currency": self.amount.currency.code,
                "minor_units": self.amount.minor_units,
                "source_kind": self.source.kind.value,
                "source": self.source.reference,
                "merchant_account_id": str(self.merchant_account_id),
                "description": self.description,
            },
        )


@dataclasses.dataclass(frozen=True)
class RefundCommand:
    """A RefundPayment that may be begun; without an amount: all that is left."""

    key_hash: bytes
    payment_id: uuid.UUID
    amount: Money | None

    def request_hash(self) -> bytes:
        """What makes this request the same as another."""
        amount = self.amount
        return hash_request(
            Rpc.REFUND_PAYMENT,
            {
                "payment_id": str(self.payment_id),
                "currency": None if amount is None else amount.currency.code,
                "minor_units": None if amount is None else amount.minor_units,
            },
        )


def parse_create(request: payments_pb2.CreatePaymentRequest) -> CreateCommand:
    """Read a CreatePaymentRequest.

    Raises:
        CardNumberRefusedError, UnknownCurrencyError, InvalidRequest.
    """
    _refuse_card_numbers(
        {
            "idempotency_key": request.idempotency_key,
            "payment_method_token": request.payment_method_token,
            "description": request.description,
        }
    )
    return CreateCommand(
        key_hash=_key_hash(request.idempotency_key),
        amount=_amount(request.amount),
        source=_source(request),
        merchant_account_id=parse_id("merchant_account_id", request.merchant_account_id),
        description=_description(request.description),
    )


def parse_refund(request: payments_pb2.RefundPaymentRequest) -> RefundCommand:
    """Read a RefundPaymentRequest. Raises what parse_create raises."""
    _refuse_card_numbers({"idempotency_key": request.idempotency_key})
    return RefundCommand(
        key_hash=_key_hash(request.idempotency_key),
        payment_id=parse_id("payment_id", request.payment_id),
        amount=_amount(request.amount) if request.HasField("amount") else None,
    )


def parse_id(field: str, text: str) -> uuid.UUID:
    """Read a UUID. Raises InvalidRequest."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _invalid(field, "must be a UUID") from None


def _refuse_card_numbers(fields: Mapping[str, str]) -> None:
    for name, text in fields.items():
        if contains_card_number(text):
            raise CardNumberRefusedError(name)


def _key_hash(key: str) -> bytes:
    if not _KEY.fullmatch(key):
        raise _invalid("idempotency_key", "must be 1 to 255 printable ASCII characters")
    return hash_key(key)


def _amount(message: money_pb2.Money) -> Money:
    try:
        amount = Money.from_proto(message)
    except money.UnknownCurrencyError:
        raise UnknownCurrencyError from None
    if not 0 < amount.minor_units <= MAX_MINOR_UNITS:
        raise _invalid("amount.minor_units", f"must be from 1 to {MAX_MINOR_UNITS}")
    return amount


def _source(request: payments_pb2.CreatePaymentRequest) -> Source:
    match request.WhichOneof("source"):
        case "payment_method_token":
            if not _TOKEN.fullmatch(request.payment_method_token):
                raise _invalid(
                    "payment_method_token",
                    "must be tok_ or pm_ and 4 to 64 of A-Z, a-z, 0-9 and _",
                )
            return Source(SourceKind.CARD_TOKEN, request.payment_method_token)
        case "bank_link_id":
            link_id = parse_id("bank_link_id", request.bank_link_id)
            return Source(SourceKind.BANK_LINK, str(link_id))
        case _:
            raise _invalid("source", "must be given")


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION_CHARACTERS:
        raise _invalid("description", f"must have at most {MAX_DESCRIPTION_CHARACTERS} characters")
    # Control characters are nothing to read, and PostgreSQL takes no NUL.
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise _invalid("description", "must have no control characters")
    return text


def _invalid(field: str, what: str) -> InvalidRequest:
    return InvalidRequest("The request is not valid.", [(field, what)])
