"""Money: exact, of one currency, within 64 bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.money import (
    CURRENCIES,
    MAX_MINOR_UNITS,
    MIN_MINOR_UNITS,
    AmountOutOfRangeError,
    Currency,
    CurrencyMismatchError,
    Money,
    UnknownCurrencyError,
)
from paymesh.money.v1 import money_pb2

currencies = st.sampled_from(sorted(CURRENCIES.values(), key=str))
amounts = st.integers(MIN_MINOR_UNITS, MAX_MINOR_UNITS)
moneys = st.builds(Money, currencies, amounts)


@given(moneys)
def test_the_wire_keeps_every_amount(money: Money) -> None:
    """to_proto and from_proto are each other's inverse over the whole range, bytes included."""
    message = money_pb2.Money.FromString(money.to_proto().SerializeToString())
    assert Money.from_proto(message) == money


@given(currencies, amounts, amounts)
def test_sums_are_exact_or_refused(currency: Currency, left: int, right: int) -> None:
    """A sum is the integers' sum, or AmountOutOfRangeError when that does not fit."""
    if MIN_MINOR_UNITS <= left + right <= MAX_MINOR_UNITS:
        total = Money(currency, left) + Money(currency, right)
        assert total.minor_units == left + right
        assert total - Money(currency, right) == Money(currency, left)
    else:
        with pytest.raises(AmountOutOfRangeError):
            Money(currency, left) + Money(currency, right)


@given(moneys, moneys)
def test_currencies_do_not_mix(left: Money, right: Money) -> None:
    """Adding, subtracting or comparing two currencies raises; one currency compares as integers."""
    if left.currency == right.currency:
        assert (left < right) == (left.minor_units < right.minor_units)
        assert (left >= right) == (left.minor_units >= right.minor_units)
        return
    for operation in (
        lambda: left + right,
        lambda: left - right,
        lambda: left < right,
        lambda: left >= right,
    ):
        with pytest.raises(CurrencyMismatchError):
            operation()


@given(moneys)
def test_people_can_read_back_what_is_shown(money: Money) -> None:
    """The text has the code, the sign and exactly the exponent's digits after the point."""
    code, _, number = str(money).partition(" ")
    _, _, fraction = number.partition(".")
    assert code == money.currency.code
    assert len(fraction) == money.currency.exponent
    assert int(number.replace(".", "")) == money.minor_units


@pytest.mark.parametrize(
    ("code", "minor_units", "text"),
    [
        ("EUR", 1250, "EUR 12.50"),
        ("EUR", -5, "EUR -0.05"),
        ("JPY", 1250, "JPY 1250"),
        ("KWD", 1250, "KWD 1.250"),
        ("CLF", -1, "CLF -0.0001"),
        ("EUR", 0, "EUR 0.00"),
    ],
)
def test_amounts_as_people_write_them(code: str, minor_units: int, text: str) -> None:
    """Currencies of all four exponents are shown as ISO 4217 has them."""
    assert str(Money.of(code, minor_units)) == text


@pytest.mark.parametrize("code", ["", "eur", "EU", "EURO", "XXX", "XTS", "XAU", "BGN", "HRK", "€"])
def test_unknown_codes_are_refused(code: str) -> None:
    """Lower case, withdrawn currencies, metals and test codes are not currencies here."""
    with pytest.raises(UnknownCurrencyError):
        Currency.parse(code)


@pytest.mark.parametrize("amount", [1.0, True, "1", None])
def test_minor_units_are_integers(amount: object) -> None:
    """A float, a bool or a string is no amount."""
    with pytest.raises(TypeError):
        Money(CURRENCIES["EUR"], amount)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [MIN_MINOR_UNITS - 1, MAX_MINOR_UNITS + 1])
def test_amounts_fit_64_bits(amount: int) -> None:
    """One beyond either end of int64 is refused."""
    with pytest.raises(AmountOutOfRangeError):
        Money.of("EUR", amount)


def test_the_smallest_amount_has_no_opposite() -> None:
    """Negating the smallest int64 is out of range, not wrapped around."""
    with pytest.raises(AmountOutOfRangeError):
        -Money.of("EUR", MIN_MINOR_UNITS)


def test_the_table_is_well_formed() -> None:
    """Every code is three capital letters and maps to itself; exponents are 0, 2, 3 or 4."""
    assert len(CURRENCIES) > 160
    for code, currency in CURRENCIES.items():
        assert (len(code), code.isascii(), code.isupper(), code.isalpha()) == (3, True, True, True)
        assert currency.code == code
        assert currency.exponent in {0, 2, 3, 4}


def test_money_never_equals_anything_else() -> None:
    """Money equals money of the same currency and amount only."""
    assert Money.of("EUR", 1) != 1
    assert Money.of("EUR", 0) != Money.of("USD", 0)
    assert len({Money.of("EUR", 1), Money.of("EUR", 1)}) == 1
