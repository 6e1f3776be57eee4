"""Values as people say them: amounts, spans of time, lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshkit.currencies import CURRENCIES
from paymesh.policy.log.moments import SECOND_NS
from paymesh.terminal import printable

_MINOR_UNITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_MOST_LISTED = 8
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Absent:
    """The value of a reference that is undefined."""


ABSENT = Absent()


def money(currency: object, minor_units: object) -> str:
    """`12.50 EUR`, `1,250 JPY`, `1.250 KWD`: by the currency's own minor unit (ISO 4217)."""
    if not _MINOR_UNITS.fullmatch(str(minor_units)):
        return f"{printable(minor_units)} {printable(currency)}".strip()
    units = int(str(minor_units))
    known = CURRENCIES.get(str(currency))
    if known is None:
        return f"{units:,} minor units of {printable(currency)}"
    whole, part = divmod(abs(units), 10**known.exponent)
    sign = "-" if units < 0 else ""
    fraction = f".{part:0{known.exponent}d}" if known.exponent else ""
    return f"{sign}{whole:,}{fraction} {known.code}"


def amount(value: object) -> str:
    """An amount of a message: `minorUnits` of a zero amount is absent."""
    if not isinstance(value, Mapping):
        return "no amount" if isinstance(value, Absent) else f"an amount {json_like(value)}"
    if value.get("minorUnits") is None:
        return f"an amount of nothing in {printable(value.get('currencyCode')) or 'no currency'}"
    return money(value.get("currencyCode"), value["minorUnits"])


def span(nanoseconds: int) -> str:
    """A length of time: `350 ms`, `20 s`, `9 min 30 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = abs(nanoseconds) // SECOND_NS
    if seconds == 0:
        return f"{abs(nanoseconds) // 1_000_000} ms"
    for unit, name, smaller, smaller_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= unit:
            rest = seconds % unit // smaller
            return f"{seconds // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{seconds} s"


def either(parts: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return _joined(parts, "or")


def both(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return _joined(parts, "and")


def _joined(parts: Sequence[str], word: str) -> str:
    *before, last = parts or [""]
    return f"{', '.join(before)} {word} {last}" if before else last


def some(parts: Iterable[str]) -> str:
    """A list that does not fill the screen."""
    found = list(parts)
    rest = len(found) - _MOST_LISTED
    return ", ".join(found[:_MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def json_like(value: object) -> str:
    """A value of a message or a token, harmless for a terminal."""
    if isinstance(value, Absent):
        return "absent"
    if value is None:
        return "not recorded"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return some(json_like(element) for element in value) or "none"
    if isinstance(value, Mapping):
        return some(f"{printable(name)} {json_like(part)}" for name, part in value.items()) or "{}"
    return printable(value) or "empty"


def facts(values: Mapping[str, Any]) -> str:
    """What a condition went by, in one line.

    Args:
        values: by Rego reference; ABSENT where that is undefined. Amounts and the limits they
            are held against are said together.
    """
    limits = [v for v in values.values() if _is_limits(v)]
    said = []
    for reference, value in values.items():
        name = reference.rpartition(".")[2]
        if _is_limits(value):
            continue
        if limits and name in {"amount", "legs"}:
            said.append(_against(value, limits[0]))
        elif name == "amount":
            said.append(amount(value))
        elif name == "roles":
            said.append(_roles(value))
        else:
            said.append(f"{_label(reference)} is {json_like(value)}")
    return ", ".join(said)


def _label(reference: str) -> str:
    name = reference.rpartition(".")[2]
    return f"the user's {name}" if ".user." in reference else f"`{name}`"


def _roles(value: object) -> str:
    if isinstance(value, Absent):
        return "there is no verified user"
    return f"the user has {json_like(value)}" if value else "the user has no role"


def _is_limits(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(v, int) and not isinstance(v, bool) for v in value.values())
    )


def _against(value: object, limits: Mapping[str, int]) -> str:
    """One amount, or those of the legs of a transfer, beside what is the most."""
    if not isinstance(value, list):
        return f"{amount(value)}{_most(value, limits)}"
    amounts = [leg.get("amount") if isinstance(leg, Mapping) else leg for leg in value]
    if not amounts:
        return "no legs"
    return some(f"{amount(found)}{_most(found, limits)}" for found in amounts)


def _most(value: object, limits: Mapping[str, int]) -> str:
    currency = value.get("currencyCode") if isinstance(value, Mapping) else None
    if currency is None:
        return ""
    if currency not in limits:
        return f", which has no limit (there are limits for {', '.join(sorted(limits))})"
    return f" of at most {money(currency, limits[currency])}"
