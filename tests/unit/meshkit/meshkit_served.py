"""A ledger servicer that does what a test tells it to, behind the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from meshkit import testing
from meshkit.config import AppConfig
from meshkit.server import Registration
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

Behaviour = Callable[[Any, Any], Awaitable[Any]]

DESCRIPTOR = ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"]
ACCOUNT_ID = "0e3a1ac6-4a5c-4f8c-9b6e-0f6a4c1d2b3a"


async def _empty(_request: Any, _context: Any) -> ledger_pb2.GetBalanceResponse:
    return ledger_pb2.GetBalanceResponse()


@dataclass
class Scripted(ledger_pb2_grpc.LedgerServiceServicer):
    """GetBalance does what `behaviour` does; `calls` counts how often it ran."""

    behaviour: Behaviour = _empty
    calls: int = 0

    async def GetBalance(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Do as told."""
        self.calls += 1
        return await self.behaviour(request, context)

    async def PostTransfer(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """Answer with nothing."""
        self.calls += 1
        return ledger_pb2.PostTransferResponse()


@dataclass
class Served:
    """A running server and what to call it with."""

    servicer: Scripted
    channel: grpc.aio.Channel
    stub: Any

    async def get_balance(self, **options: Any) -> Any:
        """Call GetBalance with the sidecar's headers, unless `options` say otherwise."""
        options.setdefault("metadata", testing.headers())
        options.setdefault("timeout", 5)
        request = ledger_pb2.GetBalanceRequest(account_id=ACCOUNT_ID)
        return await self.stub.GetBalance(request, **options)


@asynccontextmanager
async def served(
    behaviour: Behaviour = _empty, config: AppConfig | None = None
) -> AsyncIterator[Served]:
    """Serve a scripted ledger on a temporary socket."""
    servicer = Scripted(behaviour)
    async with testing.serving([registration(servicer)], config) as channel:
        yield Served(servicer, channel, ledger_pb2_grpc.LedgerServiceStub(channel))


def registration(servicer: Scripted) -> Registration:
    """Register the scripted ledger."""
    return Registration(ledger_pb2_grpc.add_LedgerServiceServicer_to_server, servicer, DESCRIPTOR)


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the google.rpc.Status that an error carries."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    raise AssertionError("the error carries no status details")


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo that an error carries."""
    info = error_details_pb2.ErrorInfo()
    assert status_of(error).details[0].Unpack(info)
    return info
