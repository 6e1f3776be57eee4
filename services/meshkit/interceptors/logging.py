"""One structured line for each call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from meshkit.interceptors.base import CallInterceptor, CallRecord, Rpc, record
from meshkit.logging import get_logger
from meshkit.telemetry import trace_id

_log = get_logger(__name__)
_NAME_BY_NUMBER = {code.value[0]: code.name for code in grpc.StatusCode}


class LoggingInterceptor(CallInterceptor):
    """Logs rpc, caller, user, code, reason, ms, decision id and trace id; health only at debug."""

    @asynccontextmanager
    async def around(
        self, rpc: Rpc, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[None]:
        """Log the call when it is over."""
        seen = CallRecord()
        token = record.set(seen)
        started_seconds = time.monotonic()
        code = "OK"
        try:
            yield
            code = _code_of(context)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except BaseException:
            code = _code_of(context, otherwise="UNKNOWN")
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


def _code_of(context: grpc.aio.ServicerContext[Any, Any], otherwise: str = "OK") -> str:
    code: Any = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _NAME_BY_NUMBER.get(number, otherwise) if number else otherwise
