"""Turns every exception into a google.rpc.Status that says no more than it should."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import psycopg

from meshkit import money
from meshkit.database import translate
from meshkit.errors import STATUS_DETAILS_KEY, InternalError, MeshError
from meshkit.interceptors.base import CallInterceptor, Rpc, record
from meshkit.logging import get_logger

_log = get_logger(__name__)

# Raised by the domain's own types, which know nothing of gRPC.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (money.UnknownCurrencyError, "UNKNOWN_CURRENCY"),
    (money.CurrencyMismatchError, "CURRENCY_MISMATCH"),
    (money.AmountOutOfRangeError, "AMOUNT_OUT_OF_RANGE"),
)


class ErrorsInterceptor(CallInterceptor):
    """Answers a MeshError with its status, anything unknown with INTERNAL and a correlation id."""

    def __init__(self, domain: str) -> None:
        super().__init__()
        self._domain = domain

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        """Abort the call with the status of whatever it raises."""
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  # nothing may reach the wire as it is
            await self._abort(rpc, error)

    async def _abort(self, rpc: Rpc, error: Exception) -> None:
        answer = mesh_error_of(error)
        seen = record.get(None)
        if answer is None:
            correlation_id = uuid.uuid4().hex
            _log.error(
                "unexpected exception",
                rpc=rpc.method,
                correlation_id=correlation_id,
                exc_info=error,
            )
            answer = InternalError(correlation_id)
            if seen is not None:
                seen.correlation_id = correlation_id
        if seen is not None:
            seen.reason = answer.reason
        status = answer.to_status(self._domain)
        await rpc.context.abort(
            answer.code, answer.message, ((STATUS_DETAILS_KEY, status.SerializeToString()),)
        )


def mesh_error_of(error: Exception) -> MeshError | None:
    """Return what a caller is told of an exception, None if nobody expected it."""
    if isinstance(error, MeshError):
        return error
    if isinstance(error, psycopg.OperationalError):
        return translate(error)
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return MeshError(str(error), code=grpc.StatusCode.INVALID_ARGUMENT, reason=reason)
    return None
