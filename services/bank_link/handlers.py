"""The use cases. Nothing of the database is held while the provider or the policy is asked.

What a crash can interrupt is written down before: a link is reserved before its
token is exchanged, and marked as being removed before its reference is taken
back. Calling again goes on from there. The exchange carries the link's id as
its idempotency key, so an answer that was lost is given again and no reference
is left behind at the provider.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Callable, Sequence
from typing import Protocol

from bank_link.domain import (
    Cursor,
    Link,
    LinkId,
    LinkState,
    Owner,
    Phase,
    Reference,
    Reservation,
    Wanted,
)
from bank_link.errors import (
    CredentialsRefusedError,
    LinkNotFoundError,
    LinkRemovedError,
    ProviderUnavailableError,
    RequestIdReusedError,
)
from bank_link.providers.interface import BankData, UnknownReferenceError
from bank_link.public_token import holds_account_data
from meshkit.logging import get_logger
from meshkit.pdp import ObjectDenied, ObjectPolicyPort

_SWEPT_AT_ONCE = 50

_log = get_logger(__name__)


class Store(Protocol):
    """Where links are kept. PostgresStore, and bank_link.testing.MemoryStore.

    Every change is one atomic compare-and-set and returns the link as it is
    then, changed or not; None stands for no such link.
    """

    async def reserve(self, link_id: LinkId, wanted: Wanted) -> Reservation:
        """Reserves `link_id` for the owner's request id, unless it stands for a link already."""

    async def attach(self, link_id: LinkId, reference: Reference) -> Link | None:
        """Makes a reserved link live."""

    async def get(self, link_id: LinkId) -> Link | None:
        """The link in whatever phase."""

    async def live(self, owner: Owner, after: Cursor | None, limit: int) -> Sequence[Link]:
        """Up to `limit` of the owner's live links after the cursor, newest first."""

    async def move(self, link_id: LinkId, state: LinkState) -> Link | None:
        """Moves a live and PENDING link on."""

    async def begin_removal(self, link_id: LinkId) -> Link | None:
        """Takes a live link out of use."""

    async def finish_removal(self, link_id: LinkId) -> Link | None:
        """Erases the reference of a link that is being removed."""

    async def being_removed(self, limit: int) -> Sequence[Link]:
        """Up to `limit` links whose removal has begun and is not finished."""


@dataclasses.dataclass(frozen=True)
class BankLink:
    """Bank-link's use cases. `new_id` gives a random UUID."""

    store: Store
    provider: BankData
    policy: ObjectPolicyPort
    new_id: Callable[[], LinkId]

    async def create(self, wanted: Wanted) -> Link:
        """The link, new or from before.

        Raises:
            CredentialsRefusedError: an account number stands in the institution's id.
            RequestIdReusedError: the id was used for another link, or the link was removed.
            PublicTokenRejectedError, ProviderUnavailableError: as of `BankData.exchange`.
        """
        if holds_account_data(wanted.institution_id):
            raise CredentialsRefusedError
        reservation = await self.store.reserve(self.new_id(), wanted)
        link = reservation.link
        expected = wanted.fingerprint(link.link_id)
        if not hmac.compare_digest(expected, reservation.fingerprint):
            raise RequestIdReusedError
        if link.phase is Phase.RESERVED:
            link = await self._exchange(link.link_id, wanted)
        if link.phase is not Phase.LIVE:
            raise RequestIdReusedError
        return link

    async def get(self, link_id: LinkId, *, to_use: bool) -> Link:
        """The link; `to_use` when it is to be paid from, not only looked at.

        Raises:
            LinkNotFoundError: it does not exist, was removed, or is not the user's to see or use.
        """
        link = await self._permitted(link_id, "links.use" if to_use else "links.read")
        if link.phase is not Phase.LIVE:
            raise LinkNotFoundError
        return link

    async def list(self, owner: Owner, after: Cursor | None, limit: int) -> Sequence[Link]:
        """Up to `limit` of the owner's own links after the cursor, newest first."""
        return await self.store.live(owner, after, limit)

    async def verify(self, link_id: LinkId) -> Link:
        """The link, moved on if the provider has come to a verdict.

        Raises:
            LinkNotFoundError: it does not exist or is not the user's.
            LinkRemovedError: it was removed, before or meanwhile.
            ProviderUnavailableError: the provider did not answer, or does not know the
                reference: nothing that cannot be undone is concluded from that.
        """
        link = await self._permitted(link_id, "links.verify")
        if link.phase is Phase.LIVE and link.state is LinkState.PENDING:
            link = await self._ask(link)
        if link.phase is not Phase.LIVE:
            raise LinkRemovedError
        return link

    async def remove(self, link_id: LinkId) -> None:
        """Takes the reference back at the provider and forgets it; again and again.

        Raises:
            LinkNotFoundError: it does not exist or is not the user's.
            ProviderUnavailableError: the link is out of use, and calling again finishes it.
        """
        await self._permitted(link_id, "links.remove")
        await self._take_back(_found(await self.store.begin_removal(link_id)))

    async def finish_removals(self) -> int:
        """Finishes removals that a crash or the provider interrupted; how many it finished.

        For a background task, so it raises nothing of the provider's: what
        could not be finished now is there the next time.
        """
        finished = 0
        for link in await self.store.being_removed(_SWEPT_AT_ONCE):
            try:
                await self._take_back(link)
            except ProviderUnavailableError:
                continue
            finished += 1
        if finished:
            _log.info("finished interrupted removals", count=finished)
        return finished

    async def _exchange(self, link_id: LinkId, wanted: Wanted) -> Link:
        reference = await self.provider.exchange(wanted.public_token, str(link_id))
        link = _found(await self.store.attach(link_id, reference))
        if link.reference != reference:
            # Somebody else finished this request, and the link has another
            # reference or none any more: ours would be left behind.
            await self.provider.revoke(reference)
        return link

    async def _take_back(self, link: Link) -> None:
        if link.reference is not None:
            await self.provider.revoke(link.reference)
            await self.store.finish_removal(link.link_id)

    async def _ask(self, link: Link) -> Link:
        if link.reference is None:
            raise AssertionError("a live link has a reference")
        try:
            verdict = await self.provider.verdict(link.reference)
        except UnknownReferenceError:
            now = _found(await self.store.get(link.link_id))
            if now.phase is Phase.LIVE:
                raise ProviderUnavailableError from None
            return now
        return _found(await self.store.move(link.link_id, link.state.after(verdict)))

    async def _permitted(self, link_id: LinkId, action: str) -> Link:
        """Somebody else's link and no link are the same answer, so that nobody can find out
        which ids exist.
        """
        link = await self.store.get(link_id)
        if link is None or link.phase is Phase.RESERVED:
            raise LinkNotFoundError
        try:
            await self.policy.allowed(action, link.facts())
        except ObjectDenied:
            raise LinkNotFoundError from None
        return link


def _found(link: Link | None) -> Link:
    """Rows are never deleted, so one that was there is there."""
    if link is None:
        raise AssertionError("a link that was read before is gone")
    return link
