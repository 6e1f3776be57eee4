"""A trace goes through a real service to its database, its callee and the outside."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)

from meshkit import testing
from meshkit.server import Registration
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_SPAN_ID = "b7ad6b7169203331"
REQUEST = ledger_pb2.GetBalanceRequest(account_id="0e3a1ac6-4a5c-4f8c-9b6e-0f6a4c1d2b3a")

SERVICE = """
import contextlib
import psycopg
from meshkit.channel import outbound_channel
from meshkit.database import open_pool, transaction
from meshkit.http import egress_client
from meshkit.server import Registration, run, serve
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

class Servicer(ledger_pb2_grpc.LedgerServiceServicer):
    def __init__(self, pool, channel, client):
        self.pool, self.channel, self.client = pool, channel, client
    async def GetBalance(self, request, context):
        async with transaction(self.pool) as connection:
            await connection.execute("SELECT %s::text", ("4111111111111111",))
        with contextlib.suppress(psycopg.errors.InvalidTextRepresentation):
            async with transaction(self.pool) as connection:
                await connection.execute("SELECT %s::text::int", ("quoted-value",))
        headers = [item for item in context.invocation_metadata() if item[0].startswith("x-p")]
        stub = ledger_pb2_grpc.LedgerServiceStub(self.channel)
        await stub.GetBalance(request, metadata=headers)
        await self.client.get("/v1/references/secret-reference")
        return ledger_pb2.GetBalanceResponse()

async def main(config):
    pool, channel = await open_pool(config), outbound_channel(config)
    client = egress_client(config, "api.banks.test")
    registration = Registration(
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
        Servicer(pool, channel, client),
        ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
    )
    hooks = [channel.close, client.aclose, pool.close]
    await serve([registration], config, on_stop=hooks)

run(main)
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    async def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802  # the RPC's name
        """Keep the spans."""
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()


class Callee(ledger_pb2_grpc.LedgerServiceServicer):
    """Stands for the callee: notes the traceparent."""

    traceparent = ""

    async def GetBalance(self, _request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        """Note it."""
        self.traceparent = dict(context.invocation_metadata())["traceparent"]
        return ledger_pb2.GetBalanceResponse()


async def test_one_trace_from_the_sidecar_to_the_database(
    make_database: Callable[[str], Any], tmp_path: Path
) -> None:
    """The spans of a call hang together under its caller's, and hold no values."""
    (tmp_path / "dsn").write_text(make_database("ledger").service_dsn)
    (tmp_path / "pdp-token").write_text("x")
    collector, callee, outside = Collector(), Callee(), []

    async def answer(request: web.BaseRequest) -> web.Response:
        outside.append(request.headers["traceparent"])
        return web.Response()

    collecting = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, collecting)
    port = collecting.add_insecure_port("127.0.0.1:0")
    await collecting.start()
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "egress.sock")).start()
    registration = Registration(
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
        callee,
        ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
    )
    listener = testing.app_config(tmp_path, app_socket=tmp_path / "outbound.sock")
    async with testing.serving([registration], listener):
        lines = await _run_service(tmp_path, f"http://127.0.0.1:{port}")
    await runner.cleanup()
    await collecting.stop(None)

    by_id = {span.span_id.hex(): span for span in collector.spans}
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
    roots = [span for span in collector.spans if span.parent_span_id.hex() == PARENT_SPAN_ID]
    assert [span.name for span in roots] == ["paymesh.ledger.v1.LedgerService/GetBalance"]
    for span in collector.spans:
        assert span in roots or span.parent_span_id.hex() in by_id
    assert {"SELECT", "HTTP GET"} <= {span.name for span in collector.spans}
    for traceparent in (callee.traceparent, outside[0]):
        _, trace_id, span_id, _ = traceparent.split("-")
        assert (trace_id, span_id in by_id) == (TRACE_ID, True)
    everything = str(collector.spans)
    assert "SELECT %s::text" in everything
    assert "4111111111111111" not in everything
    assert "secret-reference" not in everything
    assert "InvalidTextRepresentation" in everything
    assert "quoted-value" not in everything
    assert "user-token" not in everything
    (call,) = [line for line in lines if line["event"] == "call"]
    assert (call["trace_id"], call["code"]) == (TRACE_ID, "OK")


async def _run_service(directory: Path, endpoint: str) -> list[dict[str, Any]]:
    """Run the service for one call in the trace; return the lines of its log."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PAYMESH_WORKLOAD": "ledger",
        "PAYMESH_TRUST_DOMAIN": testing.TRUST_DOMAIN,
        "PAYMESH_APP_SOCKET": "app.sock",
        "PAYMESH_OUTBOUND_SOCKET": "outbound.sock",
        "PAYMESH_EGRESS_SOCKET": "egress.sock",
        "PAYMESH_DSN_FILE": "dsn",
        "PAYMESH_PDP_URL": "http://127.0.0.1:1",
        "PAYMESH_PDP_TOKEN_FILE": "pdp-token",
        "PAYMESH_MAX_MESSAGE_BYTES": "65536",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVICE,
        cwd=directory,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with grpc.aio.insecure_channel(f"unix:{directory}/app.sock") as channel:
            await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(
                REQUEST,
                metadata=(
                    *testing.headers(authorization="Bearer user-token"),
                    ("traceparent", f"00-{TRACE_ID}-{PARENT_SPAN_ID}-01"),
                ),
                timeout=30,
                wait_for_ready=True,
            )
    finally:
        process.terminate()
        _, err = await process.communicate()
    assert process.returncode == 0, err
    return [json.loads(line) for line in err.splitlines()]
