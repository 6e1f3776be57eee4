"""Links and how they move.

    reserved ──attached──▶ PENDING ──▶ SUCCESS        never back
                              └──────▶ FAILED
    any of the three ──▶ removing ──▶ removed         never back

A link is reserved before the provider is asked and nobody sees it until its
reference is attached. Removing is a step of its own, so that a link cannot be
used from the moment its owner asked for its removal, whatever the provider
answers. Pure: no I/O, no clock, no randomness.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import hmac
import re
import uuid
from typing import NewType

from bank_link.public_token import PublicToken

LinkId = NewType("LinkId", uuid.UUID)
RequestId = NewType("RequestId", uuid.UUID)

_REFERENCE = re.compile(r"[A-Za-z0-9_-]{12,128}")
_SHOWN_CHARACTERS = 4


class LinkState(enum.Enum):
    """Where the verification stands; the values are those of the database and the policy."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"

    def after(self, verdict: Verdict) -> LinkState:
        """The state once the provider said so; a state that is final stays."""
        return _AFTER[verdict] if self is LinkState.PENDING else self


class Verdict(enum.Enum):
    """What the provider says of a verification."""

    PENDING = "pending"
    VERIFIED = "verified"
    FAILED = "failed"


_AFTER = {
    Verdict.PENDING: LinkState.PENDING,
    Verdict.VERIFIED: LinkState.SUCCESS,
    Verdict.FAILED: LinkState.FAILED,
}


class Phase(enum.Enum):
    """Where in its life a link is, apart from its verification."""

    RESERVED = "RESERVED"
    LIVE = "LIVE"
    REMOVING = "REMOVING"
    REMOVED = "REMOVED"


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """The end user whose a link is."""

    tenant: str
    sub: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """The provider's pointer to a bank account. Left out of its own repr.

    Raises:
        ValueError: it is not 12 to 128 of A-Z, a-z, 0-9, _ and hyphen.
    """

    text: str = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        if not _REFERENCE.fullmatch(self.text):
            raise ValueError("not a reference")

    def masked(self) -> str:
        """The last four characters, asterisks for the others."""
        shown = self.text[-_SHOWN_CHARACTERS:]
        return "*" * (len(self.text) - len(shown)) + shown


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A link at one moment.

    `reference` is there in the phases LIVE and REMOVING and in no other.
    `update_time` is when `state` last changed.
    """

    link_id: LinkId
    owner: Owner
    institution_id: str
    state: LinkState
    phase: Phase
    reference: Reference | None
    create_time: dt.datetime
    update_time: dt.datetime

    def __post_init__(self) -> None:
        if (self.reference is not None) is not (self.phase in {Phase.LIVE, Phase.REMOVING}):
            raise ValueError("a link has a reference while it is live or being removed")
        if self.phase is Phase.RESERVED and self.state is not LinkState.PENDING:
            raise ValueError("a link cannot be verified before it has a reference")

    def attached(self, reference: Reference) -> Link:
        """With its reference; unchanged when it has or had one."""
        if self.phase is not Phase.RESERVED:
            return self
        return dataclasses.replace(self, phase=Phase.LIVE, reference=reference)

    def moved(self, state: LinkState, now: dt.datetime) -> Link:
        """In another state; unchanged unless it is live and PENDING."""
        if self.phase is not Phase.LIVE or self.state is not LinkState.PENDING:
            return self
        if state is self.state:
            return self
        return dataclasses.replace(self, state=state, update_time=now)

    def removing(self) -> Link:
        """On its way out; unchanged when it is not live."""
        if self.phase is not Phase.LIVE:
            return self
        return dataclasses.replace(self, phase=Phase.REMOVING)

    def removed(self) -> Link:
        """Without its reference; unchanged unless its removal has begun."""
        if self.phase is not Phase.REMOVING:
            return self
        return dataclasses.replace(self, phase=Phase.REMOVED, reference=None)

    def facts(self) -> dict[str, str]:
        """What the policy is told: tenant, owner, state."""
        gone = self.phase in {Phase.REMOVING, Phase.REMOVED}
        return {
            "tenant": self.owner.tenant,
            "owner": self.owner.sub,
            "state": "REMOVED" if gone else self.state.value,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A link that somebody asks for."""

    owner: Owner
    request_id: RequestId
    institution_id: str
    public_token: PublicToken

    def fingerprint(self, link_id: LinkId) -> bytes:
        """32 bytes, equal for one link when and only when institution and token are.

        Keyed by the link, so that the same token leaves different traces in
        different rows. The token lives for minutes and is long and random: what
        is kept is of no use to whoever reads it.
        """
        message = f"{self.institution_id}\0{self.public_token.text}".encode()
        return hmac.new(link_id.bytes, message, hashlib.sha256).digest()


@dataclasses.dataclass(frozen=True, slots=True)
class Reservation:
    """The link that a request id stands for, and the fingerprint it was reserved with."""

    link: Link
    fingerprint: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended; links are listed newest first."""

    create_time: dt.datetime
    link_id: LinkId
