"""Which records are wanted."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from paymesh.policy.log.records import Record


@dataclasses.dataclass(frozen=True)
class Selection:
    """Every field that is given has to match; without any, every record does.

    Attributes:
        caller: the workload's name, or the whole SPIFFE ID of a stranger.
        rpc: `/package.Service/Method` with or without its first slash, `Service/Method`,
            `workload/Method` as `paymesh call` takes it, or `Method`; or an object's action.
        user: subject of a user whose token's signature was good, ended or not.
        tenant: theirs.
        role: one of theirs.
        reason: the reason code.
        grant: id of the grant that allowed.
        allowed: the answer.
        revision: of the bundle that decided, or one of its two parts.
        decision_id: or its beginning.
    """

    caller: str | None = None
    rpc: str | None = None
    user: str | None = None
    tenant: str | None = None
    role: str | None = None
    reason: str | None = None
    grant: str | None = None
    allowed: bool | None = None
    revision: str | None = None
    decision_id: str | None = None

    def needles(self) -> tuple[bytes, ...]:
        """Bytes that every line with a wanted record has in it: cheaper to look for than JSON."""
        found = []
        for name in ("caller", "reason", "grant"):
            value = getattr(self, name)
            if value is not None:
                found.append(_member(name, value))
        found += [_string(value) for value in (self.user, self.tenant, self.role) if value]
        if self.allowed is not None:
            found.append(b'"allowed":true' if self.allowed else b'"allowed":false')
        if self.decision_id is not None:
            found.append(_member("decision_id", self.decision_id)[:-1])
        if self.rpc is not None:
            found.append(_string(self.rpc.rpartition("/")[2])[1:-1])
        return tuple(needle for needle in found if needle)

    def matches(self, record: Record, workload: str) -> bool:
        """Whether a record of this workload's log is wanted."""
        return (
            self.caller in {None, _text(record.get("caller"))}
            and self.reason in {None, _text(record.get("reason"))}
            and self.grant in {None, _text(record.get("grant"))}
            and (self.allowed is None or record.get("allowed") is self.allowed)
            and str(record["decision_id"]).startswith(self.decision_id or "")
            and (self.revision is None or _is_revision(record.get("revision"), self.revision))
            and (self.rpc is None or is_rpc(record.get("rpc"), self.rpc, workload))
            and self._matches_user(record)
        )

    def _matches_user(self, record: Record) -> bool:
        if self.user is None and self.tenant is None and self.role is None:
            return True
        user = proven_user(record)
        return (
            user is not None
            and self.user in {None, _text(user.get("sub"))}
            and self.tenant in {None, _text(user.get("tenant"))}
            and (self.role is None or self.role in roles(user))
        )


def is_rpc(rpc: object, wanted: str, workload: str) -> bool:
    """Whether an RPC is the one meant, by whole parts of its name."""
    if not isinstance(rpc, str):
        return False
    if rpc.lstrip("/") == wanted.lstrip("/"):
        return True
    service, _, method = rpc.strip("/").partition("/")
    wanted_service, slash, wanted_method = wanted.strip("/").rpartition("/")
    if method != wanted_method:
        return False
    return not slash or wanted_service == workload or f".{service}".endswith(f".{wanted_service}")


def proven_user(record: Record) -> dict[str, Any] | None:
    """The end user by a token that the issuer signed: the verified one, or the one whose token
    was refused for another reason, such as its end. Never what a forged token claims.
    """
    user = record.get("user")
    if isinstance(user, dict):
        return user
    token = record.get("token")
    if isinstance(token, dict) and token.get("signature") == "valid":
        claims = token.get("claims")
        return claims if isinstance(claims, dict) else None
    return None


def roles(user: dict[str, Any]) -> list[str]:
    """A user's roles, whatever the claim is."""
    found = user.get("roles")
    return [role for role in found if isinstance(role, str)] if isinstance(found, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_revision(revision: object, wanted: str) -> bool:
    return isinstance(revision, str) and (revision == wanted or wanted in revision.split("-"))


def _string(value: str) -> bytes:
    """A JSON string as the decision point writes it; empty for what it might write otherwise."""
    plain = value.isascii() and value.isprintable() and not set(value) & set('"\\<>&')
    return json.dumps(value).encode() if plain else b""


def _member(name: str, value: str) -> bytes:
    text = _string(value)
    return f'"{name}":'.encode() + text if text else b""
