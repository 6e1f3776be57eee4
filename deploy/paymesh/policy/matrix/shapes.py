"""Classes of messages: from the request's descriptor and the limits, whatever the RPC.

A field of a known shape becomes an axis: an amount of money, a list of items with one, the
legal entity that is asked about, an enum. A class is one choice on each axis. All other fields
hold harmless samples.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from paymesh.errors import ConfigError
from paymesh.policy.matrix.subjects import OTHER_TENANT, TENANT

MAX_CLASSES = 2000
# ISO 4217: the code for tests, which no table of limits may have.
NO_CURRENCY = "XTS"
ABSENT = "absent"
UNREADABLE, TRUNCATED, EMPTY = "unreadable", "truncated", "empty"

_ENTITIES = {"legal_entity", "tenant"}
_DEEPEST = 3
_INT64 = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}

# What fields hold that are no axis: a message with these asks nothing about them.
SAMPLES = _TRUE, _ONE_64, _TEXT, _BYTES, _ONE = (True, "1", "sample", "c2FtcGxl", 1)

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """One value of an axis; each is itself and no other. `units` and `currency` are those of a
    point on a scale of money.
    """

    name: str
    value: Any = None
    currency: str | None = None
    units: int | None = None


@dataclasses.dataclass(frozen=True)
class Axis:
    """A field, by its path in protobuf's JSON, and what is tried for it."""

    path: Path
    choices: tuple[Choice, ...]

    @property
    def name(self) -> str:
        """The path in one word."""
        return ".".join(self.path)


@dataclasses.dataclass(frozen=True)
class Class:
    """A class of messages. `choices` is one for each axis, none for a class beside the axes;
    `disguise` is what makes the call another than a plain one.
    """

    name: str
    choices: tuple[Choice, ...]
    body: Any
    truncated: bool = False
    disguise: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Shape:
    """All that is tried of one message."""

    axes: tuple[Axis, ...]
    classes: tuple[Class, ...]


def shape(messages: Iterable[Descriptor], limits: Iterable[Mapping[str, int]]) -> Shape:
    """The classes of a request message.

    Args:
        messages: its descriptors in all states that are compared: what any of them has is tried.
        limits: every table of limits of those states, minor units by currency.

    Raises:
        ConfigError: there would be more classes than anybody reads.
    """
    points = _points(limits)
    merged: dict[Path, dict[str, Choice]] = {}
    samples: dict[str, Any] = {}
    for message in messages:
        for axis in _axes(message, points):
            merged.setdefault(axis.path, {}).update({c.name: c for c in axis.choices})
        samples |= _samples(message)
    axes = tuple(Axis(path, tuple(choices.values())) for path, choices in merged.items())
    count = 1
    for axis in axes:
        count *= len(axis.choices)
    if count > MAX_CLASSES:
        names = ", ".join(axis.name for axis in axes)
        raise ConfigError(
            f"{count} classes of messages come of {names}: no more than {MAX_CLASSES}"
        )
    return Shape(axes, tuple(_classes(axes, samples)))


def _classes(axes: tuple[Axis, ...], samples: dict[str, Any]) -> Iterator[Class]:
    whole: dict[str, Any] = {}
    has_empty = False
    for choices in itertools.product(*(axis.choices for axis in axes)):
        body: dict[str, Any] = dict(samples)
        for axis, choice in zip(axes, choices, strict=True):
            if choice.value is not None:
                _put(body, axis.path, choice.value)
        name = ", ".join(f"{a.name} {c.name}" for a, c in zip(axes, choices, strict=True))
        whole = whole or body
        yield Class((name or "filled") if body else EMPTY, choices, body)
        has_empty = has_empty or not body
    if not has_empty:
        yield Class(EMPTY, (), {})
    yield Class(TRUNCATED, (), whole, truncated=True)
    yield Class(UNREADABLE, (), None)


def _put(body: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value


def _axes(message: Descriptor, points: Mapping[str, list[int]], path: Path = ()) -> Iterator[Axis]:
    for field in message.fields:
        here = (*path, field.json_name)
        kind = field.message_type
        if field.enum_type is not None and not field.is_repeated:
            yield Axis(here, tuple(_kinds(field.enum_type)))
        elif kind is None:
            if field.name in _ENTITIES and field.type == field.TYPE_STRING:
                yield Axis(here, _entities())
        elif kind.file.package == "google.protobuf" or kind.GetOptions().map_entry:
            continue
        elif field.is_repeated:
            amount = next((f for f in kind.fields if _is_money(f) and not f.is_repeated), None)
            if amount is not None:
                yield Axis(here, tuple(_items(amount.json_name, points)))
        elif _is_money(field):
            yield Axis(here, tuple(_amounts(points)))
        elif len(path) < _DEEPEST:
            yield from _axes(kind, points, here)


def _is_money(field: FieldDescriptor) -> bool:
    fields = field.message_type.fields_by_name if field.message_type else {}
    return {"currency_code", "minor_units"} <= set(fields)


def _points(limits: Iterable[Mapping[str, int]]) -> dict[str, list[int]]:
    """Amounts worth a try by currency: the least, and each limit of any table and one over."""
    points: dict[str, set[int]] = {}
    for table in limits:
        for currency, units in table.items():
            points.setdefault(currency, {1}).update((units, units + 1))
    found = {currency: sorted(units) for currency, units in sorted(points.items())}
    return found or {"EUR": [1]}


def _money(currency: str, units: int) -> dict[str, str]:
    """Protobuf's JSON: an int64 is a string, a zero is absent."""
    return {"currencyCode": currency} | ({"minorUnits": str(units)} if units else {})


def _amounts(points: Mapping[str, list[int]]) -> Iterator[Choice]:
    for currency, units in points.items():
        for value in (-1, *units):
            yield Choice(f"{value} {currency}", _money(currency, value), currency, value)
    yield Choice("of zero", _money(next(iter(points)), 0))
    yield Choice("in a currency without a limit", _money(NO_CURRENCY, 1))
    yield Choice(ABSENT)


def _items(amount: str, points: Mapping[str, list[int]]) -> Iterator[Choice]:
    """Two items, the way a transfer has legs: a credit of some size, a debit of some size.

    A point below zero has it in the debit, which stands last; one above in the credit, first.
    """

    def items(currency: str, *units: int) -> list[dict[str, Any]]:
        return [{amount: _money(currency, value)} for value in units]

    for currency, units in points.items():
        for value in sorted({-u for u in units if u > 1} | set(units)):
            legs = items(currency, value, -1) if value > 0 else items(currency, 1, value)
            yield Choice(f"{value} {currency}", legs, currency, value)
    first = next(iter(points))
    yield Choice("of zero", items(first, 1, 0))
    yield Choice("in a currency without a limit", items(NO_CURRENCY, 1, -1))
    yield Choice("without an amount", [{amount: _money(first, 1)}, {}])
    yield Choice(ABSENT)


def _entities() -> tuple[Choice, ...]:
    return (
        Choice("own", TENANT),
        Choice("another's", OTHER_TENANT),
        Choice(ABSENT),
    )


def _kinds(enum: EnumDescriptor) -> Iterator[Choice]:
    for value in enum.values:
        name = short(enum.name, value.name)
        yield Choice(name, value.name) if value.number else Choice(ABSENT)


def short(enum: str, value: str) -> str:
    """An enum value's name without the enum's: MERCHANT of ACCOUNT_KIND_MERCHANT."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum).upper() + "_"
    return value.removeprefix(prefix)


def _samples(message: Descriptor) -> dict[str, Any]:
    """Harmless values for the fields that are no axis."""
    found: dict[str, Any] = {}
    for field in message.fields:
        if field.is_repeated or field.message_type or field.enum_type or field.name in _ENTITIES:
            continue
        if field.type == field.TYPE_BOOL:
            found[field.json_name] = _TRUE
        elif field.type in _INT64:
            found[field.json_name] = _ONE_64
        elif field.type == field.TYPE_STRING:
            found[field.json_name] = _TEXT
        elif field.type == field.TYPE_BYTES:
            found[field.json_name] = _BYTES
        else:
            found[field.json_name] = _ONE
    return found
