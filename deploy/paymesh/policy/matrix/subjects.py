"""Who asks: every workload and the strangers that must not pass for one; every kind of end user."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from paymesh.errors import ConfigError

# The clock of every question: answers must not depend on the day.
TIME = "2026-01-01T00:00:00Z"
_NOW_S = 1767225600
_PAST_SECONDS, _LIFE_SECONDS = 60, 600

KEY_ID = "matrix"
SUBJECT, OTHER_SUBJECT = "matrix-user", "matrix-other-user"
TENANT, OTHER_TENANT = "own-tenant", "other-tenant"

NO_IDENTITY = "no identity"
FOREIGN_TRUST_DOMAIN = "foreign trust domain"
FOREIGN_NAMESPACE = "foreign namespace"
UNKNOWN_WORKLOAD = "unknown workload"
STRANGERS = (NO_IDENTITY, FOREIGN_TRUST_DOMAIN, FOREIGN_NAMESPACE, UNKNOWN_WORKLOAD)

NONE, UNKNOWN, ALL, EXPIRED, FORGED = "none", "unknown", "all", "expired", "forged"
_RESERVED = (NONE, UNKNOWN, ALL, EXPIRED, FORGED, "any")
# The rules take 16 roles in a token; one place is for the role that nobody knows.
_WORDS_A_TOKEN = 15


@dataclasses.dataclass(frozen=True)
class EndUser:
    """A kind of end user. `roles` is None where no token comes along."""

    name: str
    roles: tuple[str, ...] | None
    signature: str = "valid"
    expires_in_seconds: int = _LIFE_SECONDS

    @property
    def is_genuine(self) -> bool:
        """Whether a service would take this user for one, or there is none."""
        return self.signature == "valid" and self.expires_in_seconds > 0

    def token(self, environment: Mapping[str, Any]) -> dict[str, Any] | None:
        """The facts of the token, in the form of the decision log."""
        if self.roles is None:
            return None
        token: dict[str, Any] = {
            "scheme": "bearer",
            "signature": self.signature,
            "header": {"alg": "ES256", "kid": KEY_ID, "typ": "JWT"},
            "claims": {
                "iss": environment["users"]["issuer"],
                "aud": environment["users"]["audience"],
                "iat": _NOW_S - 2 * _PAST_SECONDS,
                "exp": _NOW_S + self.expires_in_seconds,
                **self.claims(),
            },
        }
        if self.signature == "valid":
            token["key"] = KEY_ID
        return token

    def claims(self) -> dict[str, Any]:
        """What a service states of a user to the object decision."""
        return {"sub": SUBJECT, "tenant": TENANT, "roles": list(self.roles or ())}


def end_users(roles: Iterable[str], words: Iterable[str]) -> tuple[EndUser, ...]:
    """Every kind of end user there is.

    Args:
        roles: the roles that have a name.
        words: other words of the rules that could be a role. The user with an unknown role
            has them too, so that a rule for a role that nobody has heard of is noticed.

    Raises:
        ConfigError: a role has a name that means something else here.
    """
    known = tuple(sorted(roles))
    if set(known) & set(_RESERVED):
        raise ConfigError(f"a role cannot be called any of {', '.join(_RESERVED)}: rename it")
    others = sorted(set(words) - set(known))
    chunks = [others[i : i + _WORDS_A_TOKEN] for i in range(0, len(others), _WORDS_A_TOKEN)]
    unknown = [
        EndUser(f"{UNKNOWN}-{i + 1}" if i else UNKNOWN, ("nobody-knows", *chunk))
        for i, chunk in enumerate(chunks or [[]])
    ]
    return (
        EndUser(NONE, None),
        *(EndUser(role, (role,)) for role in known),
        *unknown,
        EndUser(ALL, known),
        EndUser(EXPIRED, known, expires_in_seconds=-_PAST_SECONDS),
        EndUser(FORGED, known, signature="invalid"),
    )


def principal(environment: Mapping[str, Any], caller: str, model: str) -> str:
    """The SPIFFE ID that a caller presents.

    Args:
        environment: of the state that is asked: trust domain and namespace.
        caller: a workload or one of STRANGERS.
        model: the workload that a stranger resembles, as closely as a careless comparison
            would let pass.
    """
    trust_domain, namespace = environment["trust_domain"], environment["namespace"]
    if caller == NO_IDENTITY:
        return ""
    if caller == FOREIGN_TRUST_DOMAIN:
        trust_domain += ".example"
    elif caller == FOREIGN_NAMESPACE:
        namespace += "-other"
    name = caller
    if caller in STRANGERS:
        name = f"{model}-unknown" if caller == UNKNOWN_WORKLOAD else model
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{name}"
