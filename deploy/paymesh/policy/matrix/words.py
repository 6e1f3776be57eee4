"""A set of classes in as few words as possible, with the figures at which the answers turn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from paymesh.policy.matrix.shapes import (
    EMPTY,
    TRUNCATED,
    UNREADABLE,
    Axis,
    Choice,
    Class,
    Shape,
)

ANYTHING = "whatever it says"

_Tuples = frozenset[tuple[Choice, ...]]


def describe(shape: Shape, chosen: Collection[Class]) -> str:
    """Says which classes of `shape` the chosen ones are; ANYTHING when they are all."""
    names = {one.name for one in chosen}
    if len(names) == len(shape.classes):
        return ANYTHING
    readable = [one for one in shape.classes if one.name not in {UNREADABLE, TRUNCATED}]
    if readable and all(one.name in names for one in readable):
        parts = ["any readable message"]
    else:
        parts = list(_readable(shape, [one for one in readable if one.name in names]))
    parts += [f"{name} message" for name in (TRUNCATED, UNREADABLE) if name in names]
    return "; ".join(parts) or "never"


def _readable(shape: Shape, chosen: Sequence[Class]) -> Iterator[str]:
    if not shape.axes:
        for one in chosen:
            yield f"{one.name} message"
        return
    tuples = frozenset(one.choices for one in chosen if one.choices)
    if tuples:
        yield _products(shape.axes, tuples)
    has_empty = any(one.name == EMPTY and not one.choices for one in chosen)
    # It goes without saying where a message with nothing of importance is among the chosen.
    if has_empty and not any(all(c.value is None for c in choices) for choices in tuples):
        yield f"{EMPTY} message"


def _products(axes: Sequence[Axis], tuples: _Tuples) -> str:
    """The tuples as a sum of products, axis after axis."""
    first, rest = axes[0], axes[1:]
    if not rest:
        return _axis(first, {choices[0] for choices in tuples})
    by_rest: dict[_Tuples, list[Choice]] = {}
    for choice in first.choices:
        following = frozenset(choices[1:] for choices in tuples if choices[0] is choice)
        if following:
            by_rest.setdefault(following, []).append(choice)
    combinations = 1
    for axis in rest:
        combinations *= len(axis.choices)
    parts = []
    for following, choices in by_rest.items():
        said = []
        if len(choices) < len(first.choices):
            said.append(_axis(first, choices))
        if len(following) < combinations:
            said.append(_products(rest, following))
        parts.append(", and ".join(said) or f"any {first.name}")
    return "; ".join(parts)


def _axis(axis: Axis, chosen: Collection[Choice]) -> str:
    if len(chosen) == len(axis.choices):
        return f"any {axis.name}".strip()
    named = [choice.name for choice in axis.choices if choice.currency is None if choice in chosen]
    return f"{axis.name} {' or '.join([*_amounts(axis, chosen), *named])}".strip()


def _amounts(axis: Axis, chosen: Collection[Choice]) -> Iterator[str]:
    """Ranges of amounts, with the currencies that share them."""
    scales: dict[str, list[Choice]] = {}
    for choice in axis.choices:
        if choice.currency is not None:
            scales.setdefault(choice.currency, []).append(choice)
    by_range: dict[str, list[str]] = {}
    for currency, points in scales.items():
        for text in _ranges(points, chosen):
            by_range.setdefault(text, []).append(currency)
    for text, currencies in by_range.items():
        yield f"{text} {'/'.join(currencies)}"


def _ranges(points: Sequence[Choice], chosen: Collection[Choice]) -> Iterator[str]:
    """Runs of neighbours on the scale. What lies between two points was not tried: a rule
    that turns at a figure which is no limit is not seen.
    """
    start: int | None = None
    for index, point in enumerate((*points, None)):
        inside = point is not None and point in chosen
        if inside and start is None:
            start = index
        elif not inside and start is not None:
            yield _range(points, start, index - 1)
            start = None


def _range(points: Sequence[Choice], first: int, last: int) -> str:
    low, high = points[first].units, points[last].units
    if first == 0 and last == len(points) - 1:
        return "any"
    if first == 0:
        return f"up to {high}"
    if last == len(points) - 1:
        return f"{low} or more"
    return f"{low}" if first == last else f"{low} to {high}"
