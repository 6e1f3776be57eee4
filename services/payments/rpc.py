"""Calls to other services: bounded in time, and tried again where that is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol, TypeVar

import grpc

from meshkit.errors import UpstreamError, from_rpc

TIMEOUT_SECONDS = 3.0
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.1
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)

Request_contra = TypeVar("Request_contra", contravariant=True)
Reply_co = TypeVar("Reply_co", covariant=True)


class Method(Protocol[Request_contra, Reply_co]):
    """A unary RPC of a stub."""

    def __call__(
        self, request: Request_contra, *, timeout: float | None = None
    ) -> Awaitable[Reply_co]:
        """Call it; `timeout` in seconds."""


async def call(method: Method[Request_contra, Reply_co], request: Request_contra) -> Reply_co:
    """Call an RPC that may be repeated: a read, or one with a request id.

    UNAVAILABLE and ABORTED are tried again twice, 0.1 and 0.2 s later. A
    deadline that passed is not: its time is used up.

    Raises:
        UpstreamError: the callee's status and reason.
    """
    pause_seconds = _PAUSE_SECONDS
    for _ in range(_ATTEMPTS - 1):
        try:
            return await _once(method, request)
        except UpstreamError as error:
            if error.code not in _PASSING:
                raise
        await asyncio.sleep(pause_seconds)
        pause_seconds *= 2
    return await _once(method, request)


def is_about_user(error: UpstreamError) -> bool:
    """Whether the callee refused the end user, whose business it is, and not this service."""
    codes = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    return error.code in codes and error.reason.startswith("USER_")


async def _once(method: Method[Request_contra, Reply_co], request: Request_contra) -> Reply_co:
    try:
        return await method(request, timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from None
