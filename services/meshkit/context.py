"""Who is calling, for whom, on which grant, and how long there is.

The facts come from headers that only the sidecar can set: the app listens on
a socket that nobody else can open, and Envoy strips `x-paymesh-*` from whatever
a caller sends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from meshkit.errors import NotThroughSidecar, UserRequired
from meshkit.identity import InvalidSpiffeIdError, SpiffeId

CALLER_HEADER = "x-paymesh-caller"
GRANT_HEADER = "x-paymesh-grant"
DECISION_ID_HEADER = "x-paymesh-decision-id"
USER_HEADER = "x-paymesh-user"
TENANT_HEADER = "x-paymesh-tenant"
ROLES_HEADER = "x-paymesh-roles"
AUTHORIZATION_HEADER = "authorization"

_STAFF_ROLES = frozenset({"operator", "auditor"})


@dataclass(frozen=True, slots=True)
class User:
    """A verified end user: `sub` of the token, tenant and roles."""

    sub: str
    tenant: str
    roles: frozenset[str]

    @property
    def is_staff(self) -> bool:
        """Operators and auditors see a whole tenant, customers what is their own."""
        return not self.roles.isdisjoint(_STAFF_ROLES)


@dataclass(frozen=True, slots=True)
class CallContext:
    """The facts about the call that is being served.

    `deadline_seconds` is a reading of `time.monotonic()`, None without a
    deadline; `authorization` is the header to pass on, never to log.
    """

    caller: SpiffeId
    user: User | None
    grant: str
    decision_id: str
    deadline_seconds: float | None = None
    authorization: str | None = field(default=None, repr=False)

    def require_user(self) -> User:
        """Return the end user. Raises UserRequired (UNAUTHENTICATED) if there is none."""
        if self.user is None:
            raise UserRequired
        return self.user

    def remaining_seconds(self) -> float | None:
        """Return how long the call may still take, never below 0; None without a deadline."""
        if self.deadline_seconds is None:
            return None
        return max(self.deadline_seconds - time.monotonic(), 0.0)


_current: ContextVar[CallContext] = ContextVar("paymesh_call")


def current() -> CallContext:
    """Return the context of the call being served. Raises NotThroughSidecar outside of one."""
    context = _current.get(None)
    if context is None:
        raise NotThroughSidecar
    return context


def current_or_none() -> CallContext | None:
    """Return the context of the call being served, None in a background task."""
    return _current.get(None)


@contextmanager
def activate(context: CallContext) -> Iterator[CallContext]:
    """Make `context` the current one within the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def from_headers(
    headers: Mapping[str, str], trust_domain: str, deadline_seconds: float | None = None
) -> CallContext:
    """Build the context from the sidecar's headers. Raises NotThroughSidecar.

    Header names are lower case. A caller of another trust domain is refused
    here once more, although Envoy and the policy refuse it before.
    """
    try:
        caller = SpiffeId.parse(headers.get(CALLER_HEADER, ""))
    except InvalidSpiffeIdError:
        raise NotThroughSidecar from None
    grant = headers.get(GRANT_HEADER, "")
    decision_id = headers.get(DECISION_ID_HEADER, "")
    if caller.trust_domain != trust_domain or not grant or not decision_id:
        raise NotThroughSidecar
    return CallContext(
        caller=caller,
        user=_user(headers),
        grant=grant,
        decision_id=decision_id,
        deadline_seconds=deadline_seconds,
        authorization=headers.get(AUTHORIZATION_HEADER),
    )


def _user(headers: Mapping[str, str]) -> User | None:
    sub, tenant = headers.get(USER_HEADER, ""), headers.get(TENANT_HEADER, "")
    roles = frozenset(
        role for role in headers.get(ROLES_HEADER, "").replace(" ", "").split(",") if role
    )
    if not sub and not tenant and not roles:
        return None
    # Half a user is nobody: all three are set together or not at all.
    if not sub or not tenant or not roles:
        raise NotThroughSidecar
    return User(sub, tenant, roles)
