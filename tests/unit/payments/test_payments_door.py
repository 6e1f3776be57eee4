"""What is refused before anything is stored, and what makes two requests the same."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.errors import InvalidRequest, MeshError
from meshkit.money import Money
from payments.door import MAX_MINOR_UNITS, parse_create, parse_id, parse_refund
from payments.errors import CardNumberRefusedError, UnknownCurrencyError
from paymesh.money.v1 import money_pb2
from paymesh.payments.v1 import payments_pb2

CARD = "4111111111111111"
ACCOUNT = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


def _create(**changes: Any) -> payments_pb2.CreatePaymentRequest:
    fields: dict[str, Any] = {
        "idempotency_key": "order-1",
        "amount": Money.of("EUR", 1250).to_proto(),
        "payment_method_token": "tok_visa",
        "merchant_account_id": ACCOUNT,
        "description": "two coffees",
    }
    return payments_pb2.CreatePaymentRequest(**(fields | changes))


def _refund(**changes: Any) -> payments_pb2.RefundPaymentRequest:
    fields: dict[str, Any] = {"idempotency_key": "refund-1", "payment_id": ACCOUNT}
    return payments_pb2.RefundPaymentRequest(**(fields | changes))


@pytest.mark.parametrize("field", ["idempotency_key", "payment_method_token", "description"])
@pytest.mark.parametrize(
    "text",
    [
        CARD,
        f"tok_{CARD}",
        f"paid-by-{CARD}-yes",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "٤١١١١١١١١١١١١١١١",
    ],
)
def test_card_number_is_refused_and_not_repeated(field: str, text: str) -> None:
    """A card number in any text is CARD_NUMBER_REFUSED, and the error holds nothing of it."""
    with pytest.raises(CardNumberRefusedError) as raised:
        parse_create(_create(**{field: text}))
    assert raised.value.metadata == {"field": field}
    assert "1111" not in repr(raised.value.to_status("paymesh.internal"))


def test_card_number_as_key_of_a_refund_is_refused() -> None:
    """The key of a refund is looked at like that of a payment."""
    with pytest.raises(CardNumberRefusedError):
        parse_refund(_refund(idempotency_key=CARD))


@pytest.mark.parametrize(
    "token",
    ["tok_", "tok_abc", "visa", "tok-visa", "TOK_visa", "tok_vis\u00e4", "pm_" + "a" * 65, ""],
)
def test_token_of_another_form_is_refused(token: str) -> None:
    """Only tok_ or pm_ and 4 to 64 of the documented characters is a token."""
    with pytest.raises(InvalidRequest):
        parse_create(_create(payment_method_token=token))


@pytest.mark.parametrize("token", ["tok_visa", "pm_1234", "tok_" + "a" * 64, "pm_A_z_9"])
def test_token_of_the_documented_form_is_taken(token: str) -> None:
    """The token is taken as it is."""
    assert parse_create(_create(payment_method_token=token)).source.reference == token


@pytest.mark.parametrize("minor_units", [0, -1, -(2**63), MAX_MINOR_UNITS + 1, 2**63 - 1])
def test_amount_out_of_range_is_refused(minor_units: int) -> None:
    """An amount is positive and at most what the provider takes."""
    message = money_pb2.Money(currency_code="EUR", minor_units=minor_units)
    with pytest.raises(InvalidRequest):
        parse_create(_create(amount=message))
    with pytest.raises(InvalidRequest):
        parse_refund(_refund(amount=message))


@pytest.mark.parametrize("code", ["XXX", "eur", "", "BTC", "EURO"])
def test_unknown_currency_is_refused(code: str) -> None:
    """A currency that is not in the table is UNKNOWN_CURRENCY."""
    with pytest.raises(UnknownCurrencyError):
        parse_create(_create(amount=money_pb2.Money(currency_code=code, minor_units=1)))


@pytest.mark.parametrize("text", ["a\0b", "line\nline", "\x1b[31m", "x" * 141])
def test_description_that_is_no_line_of_text_is_refused(text: str) -> None:
    """Control characters and length are refused before a database would."""
    with pytest.raises(InvalidRequest):
        parse_create(_create(description=text))


def test_request_without_source_is_refused() -> None:
    """Something has to be charged."""
    request = _create()
    request.ClearField("payment_method_token")
    with pytest.raises(InvalidRequest):
        parse_create(request)


def test_ids_are_parsed() -> None:
    """A UUID is a value, whatever the case of its letters; anything else is refused."""
    assert parse_id("x", ACCOUNT.upper()) == uuid.UUID(ACCOUNT)
    with pytest.raises(InvalidRequest):
        parse_id("x", "account")
    request = _create(bank_link_id=ACCOUNT.upper())
    assert parse_create(request).source.reference == ACCOUNT


@pytest.mark.parametrize(
    "change",
    [
        {"amount": Money.of("EUR", 1251).to_proto()},
        {"amount": Money.of("USD", 1250).to_proto()},
        {"payment_method_token": "tok_mastercard"},
        {"bank_link_id": ACCOUNT},
        {"merchant_account_id": str(uuid.UUID(int=1))},
        {"description": "two teas"},
    ],
)
def test_any_other_field_makes_another_request(change: dict[str, Any]) -> None:
    """Two requests that differ in anything but the key have different hashes."""
    assert parse_create(_create()).request_hash() != parse_create(_create(**change)).request_hash()


def test_same_request_has_the_same_hash() -> None:
    """The key is no part of the request, nor is the case of a UUID; the hash is pinned for ever."""
    first = parse_create(_create())
    again = parse_create(_create(idempotency_key="order-2", merchant_account_id=ACCOUNT.upper()))
    assert first.request_hash() == again.request_hash()
    assert first.key_hash != again.key_hash
    # Stored hashes outlive releases: a change here would refuse every retry of the day before.
    assert first.request_hash().hex() == (
        "7d0deba1cb2baaad312a431d1e7744a8777c53df8ff34685da240e7e9b29ebce"
    )


def test_refund_of_the_rest_differs_from_a_refund_of_an_amount() -> None:
    """A refund without an amount is a request of its own, even if the amounts come out equal."""
    rest = parse_refund(_refund())
    part = parse_refund(_refund(amount=Money.of("EUR", 1).to_proto()))
    assert rest.amount is None
    assert rest.request_hash() != part.request_hash()


@given(
    st.builds(
        payments_pb2.CreatePaymentRequest,
        idempotency_key=st.text(max_size=40),
        payment_method_token=st.text(max_size=40),
        merchant_account_id=st.text(max_size=40),
        description=st.text(max_size=160),
        amount=st.builds(
            money_pb2.Money,
            currency_code=st.text(max_size=4),
            minor_units=st.integers(-(2**63), 2**63 - 1),
        ),
    )
)
def test_whatever_arrives_is_parsed_or_refused(request_: payments_pb2.CreatePaymentRequest) -> None:
    """There is no request that raises anything but a MeshError with INVALID_ARGUMENT."""
    code = "OK"
    try:
        parse_create(request_)
    except MeshError as error:
        code = error.code.name
    assert code in {"OK", "INVALID_ARGUMENT"}
