"""Calls to other workloads carry on the user's token, the deadline and the trace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from meshkit_served import Served, served
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from meshkit import context, testing
from meshkit.channel import outbound_channel
from meshkit.errors import from_rpc
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

REQUEST = ledger_pb2.GetBalanceRequest(account_id="0e3a1ac6-4a5c-4f8c-9b6e-0f6a4c1d2b3a")
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


class Callee:
    """Stands for the outbound listener: notes what arrives."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.remaining_seconds = 0.0

    async def behave(self, _request: Any, servicer_context: Any) -> Any:
        """Note the call."""
        self.metadata = dict(servicer_context.invocation_metadata())
        self.remaining_seconds = servicer_context.time_remaining()
        return ledger_pb2.GetBalanceResponse()


@pytest.fixture
def callee() -> Callee:
    """The callee."""
    return Callee()


@pytest.fixture
async def stub(callee: Callee, tmp_path: Path) -> AsyncIterator[Any]:
    """A stub over an outbound channel that leads to the callee."""
    config = testing.app_config(tmp_path)
    listener = testing.app_config(tmp_path, app_socket=config.outbound_socket)
    async with served(callee.behave, listener), outbound_channel(config) as channel:
        yield ledger_pb2_grpc.LedgerServiceStub(channel)


async def test_whoever_stops_waiting_stops_the_callee(tmp_path: Path) -> None:
    """A call that is cancelled here is cancelled at the callee, long before its deadline."""
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_request: Any, _context: Any) -> Any:
        entered.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    config = testing.app_config(tmp_path)
    listener = testing.app_config(tmp_path, app_socket=config.outbound_socket)
    async with served(hang, listener), outbound_channel(config) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)

        async def wait() -> None:
            await stub.GetBalance(REQUEST, metadata=testing.headers())

        waiting = asyncio.create_task(wait())
        async with asyncio.timeout(5):
            await entered.wait()
            waiting.cancel()
            await cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_the_users_token_is_passed_on(callee: Callee, stub: Any) -> None:
    """Within a call for a user, the callee gets the user's token as it came."""
    with context.activate(testing.call_context(authorization="Bearer user-token")):
        await stub.GetBalance(REQUEST, metadata=testing.headers())
    assert callee.metadata["authorization"] == "Bearer user-token"


async def test_a_background_task_has_no_token(callee: Callee, stub: Any) -> None:
    """Outside of a call there is no token to pass on, and a default timeout."""
    await stub.GetBalance(REQUEST, metadata=testing.headers())
    assert "authorization" not in callee.metadata
    assert 5 < callee.remaining_seconds < 10.1


async def test_the_callee_gets_less_time_than_is_left(callee: Callee, stub: Any) -> None:
    """The callee's deadline is the call's own less a margin, whatever timeout is asked for."""
    # Below 10 s, because gRPC sends longer ones rounded up to tenths, which is the margin.
    with context.activate(testing.call_context(deadline_seconds=time.monotonic() + 9)):
        await stub.GetBalance(REQUEST, metadata=testing.headers(), timeout=60)
    assert 5 < callee.remaining_seconds < 8.95


async def test_a_shorter_timeout_stays(callee: Callee, stub: Any) -> None:
    """A timeout below what is left is kept."""
    with context.activate(testing.call_context(deadline_seconds=time.monotonic() + 8)):
        await stub.GetBalance(REQUEST, metadata=testing.headers(), timeout=1)
    assert callee.remaining_seconds < 1.1


async def test_a_call_without_time_fails_at_once(callee: Callee, stub: Any) -> None:
    """When the call's time is up, nothing is sent that could still be carried out."""
    with (
        context.activate(testing.call_context(deadline_seconds=time.monotonic() + 0.05)),
        pytest.raises(grpc.aio.AioRpcError) as caught,
    ):
        await stub.GetBalance(REQUEST, metadata=testing.headers())
    assert from_rpc(caught.value).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert callee.metadata == {}


async def test_the_trace_is_passed_on(callee: Callee, stub: Any) -> None:
    """The callee's traceparent names the current trace, exported or not."""
    parent = SpanContext(TRACE_ID, 1, is_remote=True, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(parent)):
        await stub.GetBalance(REQUEST, metadata=testing.headers())
    assert callee.metadata["traceparent"].split("-")[1] == f"{TRACE_ID:032x}"


async def test_a_trace_goes_through_a_service(tmp_path: Path) -> None:
    """A traceparent that arrives from the sidecar leaves again with the outgoing call."""
    callee = Callee()
    config = testing.app_config(tmp_path)
    listener = testing.app_config(tmp_path, app_socket=config.outbound_socket)
    async with served(callee.behave, listener), outbound_channel(config) as channel:
        onward = ledger_pb2_grpc.LedgerServiceStub(channel)

        async def forward(request: Any, _context: Any) -> Any:
            return await onward.GetBalance(request, metadata=testing.headers())

        mesh: Served
        async with served(forward, config) as mesh:
            incoming = ("traceparent", f"00-{TRACE_ID:032x}-00f067aa0ba902b7-01")
            metadata = (*testing.headers(authorization="Bearer user-token"), incoming)
            await mesh.get_balance(metadata=metadata, timeout=5)
    assert callee.metadata["traceparent"].split("-")[1] == f"{TRACE_ID:032x}"
    assert callee.metadata["authorization"] == "Bearer user-token"
    assert callee.remaining_seconds < 5


async def test_a_sidecars_refusal_has_its_reason(tmp_path: Path) -> None:
    """A refusal that carries only `x-paymesh-reason` is read like one with an ErrorInfo."""

    async def refuse(_request: Any, servicer_context: Any) -> Any:
        await servicer_context.abort(
            grpc.StatusCode.PERMISSION_DENIED, "no", (("x-paymesh-reason", "NO_ROUTE"),)
        )

    config = testing.app_config(tmp_path)
    listener = testing.app_config(tmp_path, app_socket=config.outbound_socket)
    async with served(refuse, listener), outbound_channel(config) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(
                REQUEST, metadata=testing.headers()
            )
    upstream = from_rpc(caught.value)
    assert (upstream.code, upstream.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NO_ROUTE")


async def test_a_sidecar_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Without the outbound listener a call fails as UNAVAILABLE, soon."""
    async with outbound_channel(testing.app_config(tmp_path)) as channel:
        async with asyncio.timeout(5):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(REQUEST)
    assert from_rpc(caught.value).code is grpc.StatusCode.UNAVAILABLE
