"""One structured line for each call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from meshkit.interceptors.base import CallInterceptor, CallRecord, Rpc, code_of, record
from meshkit.logging import get_logger
from meshkit.telemetry import trace_id

_log = get_logger(__name__)


class LoggingInterceptor(CallInterceptor):
    """Logs rpc, caller, user, code, reason, ms, decision id and trace id; health only at debug."""

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        """Log the call when it is over."""
        seen = CallRecord()
        token = record.set(seen)
        started_seconds = time.monotonic()
        code = "OK"
        try:
            yield
            code = code_of(rpc.context, otherwise=grpc.StatusCode.OK).name
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except BaseException:
            code = code_of(rpc.context, otherwise=grpc.StatusCode.UNKNOWN).name
            raise
        finally:
            record.reset(token)
            write = _log.debug if rpc.is_health else _log.info
            facts = {
                "rpc": rpc.method,
                "caller": seen.caller,
                "user": seen.user,
                "code": code,
                "reason": seen.reason,
                "ms": round((time.monotonic() - started_seconds) * 1000, 2),
                "decision_id": seen.decision_id,
                "correlation_id": seen.correlation_id,
                "trace_id": trace_id(),
            }
            write("call", **{key: fact for key, fact in facts.items() if fact != ""})
