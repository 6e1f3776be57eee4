"""Ids that nobody guesses and nobody takes for a card number: letters only.

Hexadecimal ones hold 13 digits in a row once in some hundreds, and one in ten of
those passes Luhn's check at whoever refuses card numbers.
"""

from __future__ import annotations

import secrets
import string

_LENGTH = 28  # of 26 letters: 131 bits


def new_id(prefix: str) -> str:
    """`<prefix>_` and 28 letters a to z."""
    letters = (secrets.choice(string.ascii_lowercase) for _ in range(_LENGTH))
    return f"{prefix}_{''.join(letters)}"
