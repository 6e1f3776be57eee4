"""Amounts of money: whole minor units of one currency, exact, within int64.

Imports neither gRPC nor a driver, so that a domain can use it.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshkit.currencies import CURRENCIES, Currency, UnknownCurrencyError
from paymesh.money.v1 import money_pb2

__all__ = [
    "CURRENCIES",
    "MAX_MINOR_UNITS",
    "MIN_MINOR_UNITS",
    "AmountOutOfRangeError",
    "Currency",
    "CurrencyMismatchError",
    "Money",
    "UnknownCurrencyError",
]

MIN_MINOR_UNITS = -(2**63)
MAX_MINOR_UNITS = 2**63 - 1


class CurrencyMismatchError(ValueError):
    """Two amounts of different currencies cannot be added, subtracted or compared."""


class AmountOutOfRangeError(ValueError):
    """The amount does not fit into a signed integer of 64 bits."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: 1250 minor units of EUR are 12.50 euros, of JPY 1250 yen."""

    currency: Currency
    minor_units: int

    def __post_init__(self) -> None:
        if type(self.minor_units) is not int:
            raise TypeError("minor units are an int: there is no fraction of one")
        if not MIN_MINOR_UNITS <= self.minor_units <= MAX_MINOR_UNITS:
            raise AmountOutOfRangeError("The amount does not fit into 64 bits.")

    @classmethod
    def of(cls, currency_code: str, minor_units: int) -> Money:
        """Build an amount from a code. Raises UnknownCurrencyError, AmountOutOfRangeError."""
        return cls(Currency.parse(currency_code), minor_units)

    @classmethod
    def zero(cls, currency: Currency) -> Money:
        """Return no money of a currency."""
        return cls(currency, 0)

    @classmethod
    def from_proto(cls, message: money_pb2.Money) -> Money:
        """Read paymesh.money.v1.Money. Raises UnknownCurrencyError."""
        return cls.of(message.currency_code, message.minor_units)

    def to_proto(self) -> money_pb2.Money:
        """Return the amount as paymesh.money.v1.Money."""
        return money_pb2.Money(currency_code=self.currency.code, minor_units=self.minor_units)

    @property
    def is_positive(self) -> bool:
        """More than nothing."""
        return self.minor_units > 0

    @property
    def is_zero(self) -> bool:
        """Nothing."""
        return self.minor_units == 0

    def __add__(self, other: Money) -> Money:
        self._require_same_currency(other)
        return Money(self.currency, self.minor_units + other.minor_units)

    def __sub__(self, other: Money) -> Money:
        self._require_same_currency(other)
        return Money(self.currency, self.minor_units - other.minor_units)

    def __neg__(self) -> Money:
        return Money(self.currency, -self.minor_units)

    def __lt__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.minor_units < other.minor_units

    def __le__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.minor_units <= other.minor_units

    def __gt__(self, other: Money) -> bool:
        return other < self

    def __ge__(self, other: Money) -> bool:
        return other <= self

    def __str__(self) -> str:
        """Return the amount for people, such as `EUR -12.50`, `JPY 1250`, `KWD 1.250`."""
        sign = "-" if self.minor_units < 0 else ""
        exponent = self.currency.exponent
        digits = str(abs(self.minor_units)).rjust(exponent + 1, "0")
        if exponent == 0:
            return f"{self.currency.code} {sign}{digits}"
        return f"{self.currency.code} {sign}{digits[:-exponent]}.{digits[-exponent:]}"

    def _require_same_currency(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatchError(
                f"Amounts of {self.currency.code} and {other.currency.code} do not mix."
            )
