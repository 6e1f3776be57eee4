"""Recognises card numbers, so that none is ever accepted.

Written apart from the mesh's own check on purpose: this is another company's door.
"""

from __future__ import annotations

import re

_CANDIDATE = re.compile(r"\d(?:[ -]?\d){12,}")
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_SHORTEST, _LONGEST = 13, 19
_LARGEST_DIGIT = 9


def has_card_number(text: str) -> bool:
    """Whether 13 to 19 successive digits, spaces and hyphens aside, pass Luhn's check.

    UUIDs are left out of account: one in some hundreds would pass by chance.
    """
    for candidate in _CANDIDATE.finditer(_UUID.sub("/", text)):
        digits = [int(digit) for digit in candidate.group() if digit.isdigit()]
        for start in range(len(digits) - _SHORTEST + 1):
            for length in range(_SHORTEST, min(_LONGEST, len(digits) - start) + 1):
                if _luhn(digits[start : start + length]):
                    return True
    return False


def _luhn(digits: list[int]) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = digit * 2 if position % 2 else digit
        total += value - _LARGEST_DIGIT if value > _LARGEST_DIGIT else value
    return total % 10 == 0
