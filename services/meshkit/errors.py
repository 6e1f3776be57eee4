"""Errors with one gRPC status and one machine-readable reason each.

    MeshError
    ├── InternalError          INTERNAL           INTERNAL
    ├── NotThroughSidecar      INTERNAL           NOT_THROUGH_SIDECAR
    ├── InvalidRequest         INVALID_ARGUMENT   INVALID_REQUEST
    ├── DeadlineExceeded       DEADLINE_EXCEEDED  DEADLINE_EXCEEDED
    ├── UserRequired           UNAUTHENTICATED    USER_TOKEN_MISSING
    ├── UpstreamError          the callee's own status and reason
    ├── pdp.ObjectDenied       PERMISSION_DENIED  OBJECT_DENIED
    ├── pdp.PolicyUnavailable  UNAVAILABLE        POLICY_ENGINE_UNAVAILABLE
    ├── database.DatabaseUnavailable  UNAVAILABLE DATABASE_UNAVAILABLE
    ├── database.DatabaseConflict     ABORTED     DATABASE_CONFLICT
    └── paging.InvalidPageToken  INVALID_ARGUMENT INVALID_PAGE_TOKEN

A service's own errors.py subclasses MeshError with the class attributes
`code`, `reason` and, if every message is the same, `message`.

What travels is a google.rpc.Status (AIP-193) in `grpc-status-details-bin`
with a google.rpc.ErrorInfo, and a google.rpc.RetryInfo where a retry helps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS_KEY = "grpc-status-details-bin"
REASON_KEY = "x-paymesh-reason"


class MeshError(Exception):
    """An error that a caller is meant to see.

    `message` is one sentence for people; it goes over the wire as it is, so it
    holds nothing that came with the request. `metadata` goes into ErrorInfo.
    """

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    reason: str = "INTERNAL"
    message: str = "The call could not be carried out."

    def __init__(
        self,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
        code: grpc.StatusCode | None = None,
        reason: str | None = None,
    ) -> None:
        if code is grpc.StatusCode.OK:
            raise ValueError("an error cannot have the status OK")
        if message is not None:
            self.message = message
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.message)

    def details(self) -> Sequence[Message]:
        """Further google.rpc messages for the status, besides ErrorInfo and RetryInfo."""
        return ()

    def to_status(self, domain: str) -> status_pb2.Status:
        """Return the google.rpc.Status of this error; `domain` is the trust domain."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        info = error_details_pb2.ErrorInfo(
            reason=self.reason, domain=domain, metadata=dict(self.metadata)
        )
        status.details.add().Pack(info)
        if self.retry_after_seconds is not None:
            retry = error_details_pb2.RetryInfo()
            fraction, whole = math.modf(max(self.retry_after_seconds, 0.0))
            retry.retry_delay.seconds = int(whole)
            retry.retry_delay.nanos = int(fraction * 1e9)
            status.details.add().Pack(retry)
        for detail in self.details():
            status.details.add().Pack(detail)
        return status


class InternalError(MeshError):
    """What a caller sees of an exception that nobody expected: a correlation id and no more."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"

    def __init__(self, correlation_id: str) -> None:
        super().__init__(
            f"Something went wrong on our side; correlation id {correlation_id}.",
            metadata={"correlation_id": correlation_id},
        )


class NotThroughSidecar(MeshError):
    """The headers that only the sidecar sets are missing or malformed."""

    code = grpc.StatusCode.INTERNAL
    reason = "NOT_THROUGH_SIDECAR"
    message = "The call did not come through the sidecar."


class InvalidRequest(MeshError):
    """The request breaks the rules of its message.

    `violations` maps a field's path to what is wrong with it, without its value.
    """

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"

    def __init__(self, message: str, violations: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.violations: Sequence[tuple[str, str]] = tuple(violations)

    def details(self) -> Sequence[Message]:
        """Return a google.rpc.BadRequest with the violations, if there are any."""
        if not self.violations:
            return ()
        bad_request = error_details_pb2.BadRequest()
        for field, description in self.violations:
            bad_request.field_violations.add(
                field=field, description=description, reason=self.reason
            )
        return (bad_request,)


class DeadlineExceeded(MeshError):
    """The call's time is up."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    message = "The call took longer than its deadline allows."


class UserRequired(MeshError):
    """The RPC acts for an end user and none was verified."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "USER_TOKEN_MISSING"
    message = "The call needs an end user's token."


class UpstreamError(MeshError):
    """What a callee answered, read from its ErrorInfo or from `x-paymesh-reason`.

    `code`, `reason`, `message`, `metadata` and `retry_after_seconds` are the
    callee's; the reason is empty when the callee gave none. To let it through to
    one's own caller unchanged, raise it; to say something else, catch it.
    """


def from_rpc(error: grpc.aio.AioRpcError | grpc.RpcError) -> UpstreamError:
    """Read a callee's refusal, from asynchronous and synchronous clients alike."""
    call: Any = error  # the two kinds of error have these methods, but no common type
    code: grpc.StatusCode = call.code()
    trailing = _pairs(call.trailing_metadata())
    initial = _pairs(call.initial_metadata()) if hasattr(call, "initial_metadata") else []
    reason = _first(trailing, REASON_KEY) or _first(initial, REASON_KEY)
    info, retry_after_seconds = _read_details(trailing)
    return UpstreamError(
        call.details() or "",
        code=code if code is not grpc.StatusCode.OK else grpc.StatusCode.UNKNOWN,
        reason=info.reason or reason,
        metadata=info.metadata,
        retry_after_seconds=retry_after_seconds,
    )


def _pairs(metadata: Any) -> list[tuple[str, str | bytes]]:
    return [(str(key), value) for key, value in metadata or ()]


def _first(metadata: Sequence[tuple[str, str | bytes]], wanted: str) -> str:
    for key, value in metadata:
        if key == wanted:
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return ""


def _read_details(
    trailing: Sequence[tuple[str, str | bytes]],
) -> tuple[error_details_pb2.ErrorInfo, float | None]:
    info = error_details_pb2.ErrorInfo()
    retry_after_seconds: float | None = None
    for key, value in trailing:
        if key != STATUS_DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                    detail.Unpack(info)
                elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                    retry = error_details_pb2.RetryInfo()
                    detail.Unpack(retry)
                    delay = retry.retry_delay
                    retry_after_seconds = delay.seconds + delay.nanos / 1e9
        except DecodeError:
            # A callee that garbles its details still has a status code.
            return error_details_pb2.ErrorInfo(), None
    return info, retry_after_seconds
