"""What bank-link needs of a bank data provider."""

from __future__ import annotations

from typing import Protocol

from bank_link.domain import Reference, Verdict
from bank_link.public_token import PublicToken


class UnknownReferenceError(Exception):
    """The provider has no such reference, or not any more."""


class BankData(Protocol):
    """A provider. Every call may be repeated.

    All raise ProviderUnavailableError when there is no answer, or none that
    can be understood.
    """

    async def exchange(self, public_token: PublicToken, idempotency_key: str) -> Reference:
        """The reference that the token stands for; the same key gives the same reference.

        Raises:
            PublicTokenRejectedError: the provider does not know the token.
        """

    async def verdict(self, reference: Reference) -> Verdict:
        """How the verification went.

        Raises:
            UnknownReferenceError: there is no such reference.
        """

    async def revoke(self, reference: Reference) -> None:
        """Takes the reference back; one that is not there counts as taken back."""
