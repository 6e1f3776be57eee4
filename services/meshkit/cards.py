"""Finds card numbers where none belong: at the door and in whatever is logged.

A card number is 13 to 19 digits (ISO/IEC 7812-1) whose last satisfies the Luhn
formula, in one piece or in groups parted by spaces, hyphens or dots. The
finder is for accidents, not for people who hide a number on purpose.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MIN_DIGITS = 13
MAX_DIGITS = 19

_MAX_DOUBLED_DIGIT = 9
_RUN = re.compile(r"[0-9](?:[ .-]{0,3}[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
# Hashes and UUIDs are made of digits too, and one in some hundred would pass for a card number.
_OPAQUE = re.compile(
    r"(?<![0-9A-Za-z])(?=[0-9-]*[A-Fa-f])"
    r"(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32,})(?![0-9A-Za-z])"
)


def contains_card_number(text: str) -> bool:
    """Say whether the text has something in it that passes for a card number."""
    return next(_spans(text), None) is not None


def mask_card_numbers(text: str, mask: str = "[card number]") -> str:
    """Return the text with every card number replaced."""
    pieces: list[str] = []
    end_of_last = 0
    for start, end in _spans(text):
        pieces += (text[end_of_last:start], mask)
        end_of_last = end
    return "".join([*pieces, text[end_of_last:]]) if pieces else text


def luhn_valid(digits: str) -> bool:
    """Check the Luhn formula (ISO/IEC 7812-1, annex B) over ASCII digits."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        digit = int(character)
        if place % 2:
            digit *= 2
            if digit > _MAX_DOUBLED_DIGIT:
                digit -= 9
        total += digit
    return total % 10 == 0


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each card number, left to right, without overlap."""
    plain = _plain(text)
    runs = list(_RUN.finditer(plain))
    if not runs:
        return
    opaque = [match.span() for match in _OPAQUE.finditer(plain)]
    for run in runs:
        if not any(start <= run.start() and run.end() <= end for start, end in opaque):
            yield from _spans_in_run(run.group(), run.start())


def _spans_in_run(run: str, offset: int) -> Iterator[tuple[int, int]]:
    """Yield the card numbers in a run of digit groups: each is one or more whole groups."""
    groups = [match.span() for match in _GROUP.finditer(run)]
    first = 0
    while first < len(groups):
        last = _last_group_of_card(run, groups, first)
        if last is None:
            first += 1
            continue
        yield offset + groups[first][0], offset + groups[last][1]
        first = last + 1


def _last_group_of_card(run: str, groups: list[tuple[int, int]], first: int) -> int | None:
    digits = ""
    found: int | None = None
    for index in range(first, len(groups)):
        start, end = groups[index]
        digits += run[start:end]
        if len(digits) > MAX_DIGITS:
            break
        if len(digits) >= MIN_DIGITS and len(set(digits)) > 1 and luhn_valid(digits):
            found = index
    return found


def _plain(text: str) -> str:
    """Return the text, as long as before, with every script's digits and dashes as ASCII."""
    if text.isascii():
        return text.translate(_ASCII_BLANKS)
    return "".join(_plain_character(character) for character in text)


_ASCII_BLANKS = str.maketrans("\t\r\n", "   ")


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd":
        return "-"
    if category == "Zs" or character in "\t\r\n":
        return " "
    return character
