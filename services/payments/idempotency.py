"""Idempotency keys: what a second call with the same key is told.

A key belongs to one tenant, one user and one RPC. It is kept as a hash, as is
the request that it came with. Whoever executes the request holds a lease on
it; a lease that ran out may be taken by another call with the same key, or by
the worker, and a token that changes with every holder keeps a late one from
writing. Pure, like the domain.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import json
import uuid
from collections.abc import Mapping

_LONGEST_RETRY_SECONDS = 2.0
_LONGEST_BACKOFF_SECONDS = 300
_MAX_DOUBLINGS = 9


class Rpc(enum.StrEnum):
    """The RPCs that take an idempotency key."""

    CREATE_PAYMENT = "CreatePayment"
    REFUND_PAYMENT = "RefundPayment"


@dataclasses.dataclass(frozen=True)
class Scope:
    """Whose key it is, and for what."""

    tenant: str
    user: str
    rpc: Rpc
    key_hash: bytes


@dataclasses.dataclass(frozen=True)
class Success:
    """A reply, as the bytes of its protobuf message."""

    payload: bytes


@dataclasses.dataclass(frozen=True)
class Failure:
    """A refusal: the name of its gRPC status, its reason, and what is said."""

    code: str
    reason: str
    message: str
    metadata: Mapping[str, str]


Answer = Success | Failure


@dataclasses.dataclass(frozen=True)
class Lease:
    """The right to execute one operation, until it runs out or is taken over."""

    operation_id: uuid.UUID
    token: uuid.UUID


@dataclasses.dataclass(frozen=True)
class Finished:
    """The operation has its answer."""

    answer: Answer


@dataclasses.dataclass(frozen=True)
class InUse:
    """Somebody else holds the lease."""

    retry_after_seconds: float


@dataclasses.dataclass(frozen=True)
class Reused:
    """The key came with another request before."""


Reservation = Lease | Finished | InUse | Reused


@dataclasses.dataclass(frozen=True)
class Known:
    """An operation as it is stored."""

    operation_id: uuid.UUID
    request_hash: bytes
    answer: Answer | None
    lease_until: dt.datetime


def judge(known: Known, request_hash: bytes, now: dt.datetime) -> Reservation | None:
    """What a call that finds its key known is told; None: the lease is free to take."""
    if known.request_hash != request_hash:
        return Reused()
    if known.answer is not None:
        return Finished(known.answer)
    left_seconds = (known.lease_until - now).total_seconds()
    if left_seconds > 0:
        return InUse(retry_after_seconds=min(left_seconds, _LONGEST_RETRY_SECONDS))
    return None


def backoff_seconds(attempts: int) -> int:
    """How long the worker leaves an operation alone after so many attempts: 1, 2, 4 … 300."""
    return min(1 << min(max(attempts - 1, 0), _MAX_DOUBLINGS), _LONGEST_BACKOFF_SECONDS)


def hash_key(key: str) -> bytes:
    """SHA-256 of a client's key: what a client may have put into it is not kept."""
    return hashlib.sha256(key.encode()).digest()


def hash_request(rpc: Rpc, fields: Mapping[str, str | int | None]) -> bytes:
    """SHA-256 of a request in one canonical form: JSON, keys sorted, no white space.

    Not protobuf's own bytes, whose order is promised only within one version
    of one library, while a key outlives upgrades.
    """
    text = json.dumps([rpc.value, dict(fields)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()
