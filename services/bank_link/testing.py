"""Links in memory and a provider in memory, for tests.

`MemoryStore` passes the contract tests of `PostgresStore`
(tests/integration/bank_link/test_bank_link_store.py), `MemoryBankData` those of
`HttpBankData` (tests/unit/bank_link/test_bank_link_provider.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
from collections.abc import Callable, Sequence

from bank_link.domain import (
    Cursor,
    Link,
    LinkId,
    LinkState,
    Owner,
    Phase,
    Reference,
    RequestId,
    Reservation,
    Verdict,
    Wanted,
)
from bank_link.errors import ProviderUnavailableError, PublicTokenRejectedError
from bank_link.providers.interface import UnknownReferenceError
from bank_link.public_token import PublicToken

_SANDBOX = "public-sandbox-"


@dataclasses.dataclass
class MemoryStore:
    """`bank_link.handlers.Store` in dictionaries; one event loop, so nothing interleaves."""

    links: dict[LinkId, Link] = dataclasses.field(default_factory=dict)
    _requests: dict[tuple[Owner, RequestId], Reservation] = dataclasses.field(default_factory=dict)

    async def reserve(self, link_id: LinkId, wanted: Wanted) -> Reservation:
        """See `Store.reserve`."""
        key = (wanted.owner, wanted.request_id)
        if key not in self._requests:
            now = dt.datetime.now(dt.UTC)
            link = Link(
                link_id=link_id,
                owner=wanted.owner,
                institution_id=wanted.institution_id,
                state=LinkState.PENDING,
                phase=Phase.RESERVED,
                reference=None,
                create_time=now,
                update_time=now,
            )
            self.links[link_id] = link
            self._requests[key] = Reservation(link, wanted.fingerprint(link_id))
        first = self._requests[key]
        return Reservation(self.links[first.link.link_id], first.fingerprint)

    async def attach(self, link_id: LinkId, reference: Reference) -> Link | None:
        """See `Store.attach`."""
        return self._change(link_id, lambda link: link.attached(reference))

    async def get(self, link_id: LinkId) -> Link | None:
        """See `Store.get`."""
        return self.links.get(link_id)

    async def live(self, owner: Owner, after: Cursor | None, limit: int) -> Sequence[Link]:
        """See `Store.live`."""
        start = None if after is None else (after.create_time, after.link_id)
        own = [
            link
            for link in self.links.values()
            if link.owner == owner
            and link.phase is Phase.LIVE
            and (start is None or (link.create_time, link.link_id) < start)
        ]
        own.sort(key=lambda link: (link.create_time, link.link_id), reverse=True)
        return own[:limit]

    async def move(self, link_id: LinkId, state: LinkState) -> Link | None:
        """See `Store.move`."""
        return self._change(link_id, lambda link: link.moved(state, dt.datetime.now(dt.UTC)))

    async def begin_removal(self, link_id: LinkId) -> Link | None:
        """See `Store.begin_removal`."""
        return self._change(link_id, Link.removing)

    async def finish_removal(self, link_id: LinkId) -> Link | None:
        """See `Store.finish_removal`."""
        return self._change(link_id, Link.removed)

    async def being_removed(self, limit: int) -> Sequence[Link]:
        """See `Store.being_removed`."""
        return [link for link in self.links.values() if link.phase is Phase.REMOVING][:limit]

    def _change(self, link_id: LinkId, change: Callable[[Link], Link]) -> Link | None:
        if link_id not in self.links:
            return None
        self.links[link_id] = change(self.links[link_id])
        return self.links[link_id]


@dataclasses.dataclass
class MemoryBankData:
    """`BankData` with the sandbox tokens of `simulators.banks`.

    `available` False has every call raise; `fail_after` has the next call do
    its work and then raise, as when the answer is lost.
    """

    available: bool = True
    fail_after: bool = False
    references: dict[Reference, str] = dataclasses.field(default_factory=dict)
    exchanges: list[str] = dataclasses.field(default_factory=list)
    _by_key: dict[str, Reference] = dataclasses.field(default_factory=dict)

    async def exchange(self, public_token: PublicToken, idempotency_key: str) -> Reference:
        """See `BankData.exchange`."""
        self._require_available()
        self.exchanges.append(idempotency_key)
        if idempotency_key not in self._by_key:
            outcome = public_token.text.removeprefix(_SANDBOX).partition("-")[0]
            if outcome not in {"success", "pending", "failed"}:
                raise PublicTokenRejectedError
            reference = Reference(f"ref_{secrets.token_hex(16)}")
            self._by_key[idempotency_key] = reference
            self.references[reference] = outcome
        self._lose_answer()
        return self._by_key[idempotency_key]

    async def verdict(self, reference: Reference) -> Verdict:
        """See `BankData.verdict`."""
        self._require_available()
        outcome = self.references.get(reference)
        if outcome is None:
            raise UnknownReferenceError
        if outcome == "pending":
            self.references[reference] = "success"
            return Verdict.PENDING
        return Verdict.VERIFIED if outcome == "success" else Verdict.FAILED

    async def revoke(self, reference: Reference) -> None:
        """See `BankData.revoke`."""
        self._require_available()
        self.references.pop(reference, None)
        self._lose_answer()

    def _require_available(self) -> None:
        if not self.available:
            raise ProviderUnavailableError

    def _lose_answer(self) -> None:
        if self.fail_after:
            self.fail_after = False
            raise ProviderUnavailableError
