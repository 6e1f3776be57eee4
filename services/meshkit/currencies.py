"""The currencies of ISO 4217 (list one) with their exponents.

Source: ISO 4217 list one as maintained by SIX, state of 2026: without codes
that have no minor unit (metals, testing, units of account) and without those
withdrawn, BGN (1 January 2026) the last of them. CLF and UYW are funds codes
and the only ones with four decimal digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


class UnknownCurrencyError(ValueError):
    """No such code among the supported currencies."""


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency: `code` of three capital letters, `exponent` decimal digits of its minor unit."""

    code: str
    exponent: int

    @classmethod
    def parse(cls, code: str) -> Currency:
        """Look a code up, exactly as written. Raises UnknownCurrencyError."""
        currency = CURRENCIES.get(code)
        if currency is None:
            raise UnknownCurrencyError("The currency code is not in the table of ISO 4217.")
        return currency

    def __str__(self) -> str:
        return self.code


_CODES_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
        CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP
        GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT
        LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN
        NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD
        SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS
        VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

CURRENCIES = MappingProxyType(
    {
        code: Currency(code, exponent)
        for exponent, codes in _CODES_BY_EXPONENT.items()
        for code in codes.split()
    }
)
