"""One try: from where, with what, at what, in which way; and what came of it."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Sequence

from paymesh.attack.model import NONE, State, Target
from paymesh.attack.probe.agent.plan import (
    Address,
    Call,
    Certificate,
    Conversation,
    Errand,
    Plan,
    Result,
    Tls,
)

THROUGH_GATEWAY = "through the gateway"
# A run of digits can pass for a card number, which is refused wherever one is seen.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def nonce() -> str:
    """32 hexadecimal digits that are a trace id too, and name one attempt at the target."""
    return secrets.token_hex(16)


def letters(name: str) -> str:
    """A nonce without digits."""
    return name.translate(_LETTERS)


@dataclasses.dataclass(frozen=True)
class Spoken:
    """A gRPC call and the connection that it goes over."""

    address: Address
    tls: Tls | None
    call: Call


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What is tried.

    Attributes:
        id: its nonce.
        position: from where.
        target: what is to execute.
        way: in words, for the report.
        identity: the certificate that is shown, or `none`.
        credential: the one that is presented, or `none`.
        deed: what the agent does.
    """

    id: str
    position: str
    target: Target
    way: str
    deed: Spoken | Errand = dataclasses.field(repr=False)
    identity: str = NONE
    credential: str = NONE

    def counts_for(self, state: State) -> bool:
        """Whether somebody in this state could do it: who has more may do with less."""
        return (
            self.position == state.position
            and self.identity in {NONE, state.identity}
            and self.credential in {NONE, state.credential}
        )


@dataclasses.dataclass(frozen=True)
class Tried:
    """An attempt and what the agent reported."""

    attempt: Attempt
    result: Result


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is known of an attempt.

    Attributes:
        tried: which.
        answered: whether the answer says that it was done.
        seen: whether the target shows that it was done.
    """

    tried: Tried
    answered: bool
    seen: bool


def plan_of(
    attempts: Sequence[Attempt],
    certificates: dict[str, Certificate],
    headers: dict[str, list[tuple[str, str]]],
) -> Plan:
    """What an agent is given: calls to one address with one certificate go together."""
    together: dict[tuple[str, str], Conversation] = {}
    errands: list[Errand] = []
    for attempt in attempts:
        if not isinstance(attempt.deed, Spoken):
            errands.append(attempt.deed)
            continue
        spoken = attempt.deed
        key = (repr(spoken.address), repr(spoken.tls))
        if key not in together:
            together[key] = {"address": spoken.address, "tls": spoken.tls, "calls": []}
        together[key]["calls"].append(spoken.call)
    used = {name for name in _identities(together.values(), errands) if name is not None}
    return {
        "certificates": {name: certificates[name] for name in sorted(used)},
        "headers": headers,
        "conversations": list(together.values()),
        "errands": errands,
    }


def _identities(
    conversations: Iterable[Conversation], errands: Iterable[Errand]
) -> Iterable[str | None]:
    for spoken in (*conversations, *errands):
        tls = spoken.get("tls")
        if tls is not None:
            yield tls["identity"]
