"""The provider's short-lived public token, and what people type in its place.

The token's form is narrow, so the door is: whatever has another form may be a
login and is refused as one, and within the form nothing passes that reads as a
card, an IBAN or an account number. Pure; what is refused is never repeated.
"""

from __future__ import annotations

import dataclasses
import re

from bank_link.errors import CredentialsRefusedError, InvalidPublicTokenError
from meshkit.cards import contains_card_number

_TOKEN = re.compile(r"public-[A-Za-z0-9-]{8,96}")
_ALMOST_TOKEN = re.compile(r"public-[A-Za-z0-9-]*")
_DIGITS_ONLY = re.compile(r"public-(?:[a-z]+-)?[0-9-]+")

# ISO 13616-1: country, two check digits, up to 30 more; the shortest in use (Norway) has 15.
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_IBAN_MODULUS = 97
# 16 random bytes as hex have an IBAN's form once in a while; no IBAN in use has theirs.
_HEX_ID = re.compile(r"[0-9A-F]{32}")


@dataclasses.dataclass(frozen=True, slots=True)
class PublicToken:
    """A public token of the right form. Left out of its own repr."""

    text: str = dataclasses.field(repr=False)

    @classmethod
    def parse(cls, text: str) -> PublicToken:
        """The token.

        Raises:
            CredentialsRefusedError: it looks like a login, a card or an account number,
                or like nothing that a provider hands out.
            InvalidPublicTokenError: it has a token's beginning and letters, not its length.
        """
        if not _ALMOST_TOKEN.fullmatch(text) or holds_account_data(text):
            raise CredentialsRefusedError
        if _DIGITS_ONLY.fullmatch(text):
            raise CredentialsRefusedError
        if not _TOKEN.fullmatch(text):
            raise InvalidPublicTokenError
        return cls(text)


def holds_account_data(text: str) -> bool:
    """Whether a card number or an IBAN stands anywhere in the text."""
    return contains_card_number(text) or any(
        _is_iban(part) for part in re.split(r"[^A-Z0-9]+", text.upper())
    )


def _is_iban(text: str) -> bool:
    """ISO 13616-1, by the check digits of ISO/IEC 7064 MOD 97-10."""
    if not _IBAN.fullmatch(text) or _HEX_ID.fullmatch(text):
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % _IBAN_MODULUS == 1
