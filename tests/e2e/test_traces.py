"""One trace from the gateway through every Envoy and service to the database calls."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_OFFSET = "5000"
_WANTED = {
    "gateway-envoy",
    "payments-envoy",
    "payments",
    "ledger-envoy",
    "ledger",
}


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that remembers service and span name by trace."""

    def __init__(self) -> None:
        self.traces: dict[bytes, set[tuple[str, str]]] = defaultdict(set)
        self._lock = threading.Lock()

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 — the RPC's name
        with self._lock:
            for resource in request.resource_spans:
                name = next(
                    attribute.value.string_value
                    for attribute in resource.resource.attributes
                    if attribute.key == "service.name"
                )
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.traces[span.trace_id].add((name, span.name))
        return trace_service_pb2.ExportTraceServiceResponse()

    def complete(self) -> set[tuple[str, str]] | None:
        """The spans of a trace that has been everywhere."""
        with self._lock:
            for spans in self.traces.values():
                if {service for service, _ in spans} >= _WANTED:
                    return set(spans)
        return None


@pytest.fixture
def collector() -> Iterator[tuple[_Collector, int]]:
    """A real OTLP receiver and its port."""
    collector = _Collector()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, port
    server.stop(None)


@pytest.fixture
def traced(collector: tuple[_Collector, int]) -> Iterator[dict[str, str]]:
    """The environment of a mesh of its own that exports its traces."""
    home = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    home.chmod(0o755)
    environment = {
        **os.environ,
        "PAYMESH_HOME": str(home),
        "PAYMESH_PORT_OFFSET": _OFFSET,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector[1]}",
    }
    try:
        up = _paymesh(environment, "up")
        assert up.returncode == 0, up.stderr
        yield environment
    finally:
        _paymesh(environment, "down")
        shutil.rmtree(home, ignore_errors=True)


def _paymesh(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from paymesh.cli.main import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.timeout(240)
def test_a_payment_leaves_one_trace(
    collector: tuple[_Collector, int], traced: dict[str, str]
) -> None:
    """The demo's payments leave a trace that has been in every Envoy and service on
    the way, and in the ledger's and payments' databases.
    """
    done = _paymesh(traced, "demo", "-o", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    deadline = time.monotonic() + 20
    while (spans := collector[0].complete()) is None:
        assert time.monotonic() < deadline, {
            service for spans in collector[0].traces.values() for service, _ in spans
        }
        time.sleep(0.2)
    for service in ("payments", "ledger"):
        statements = [
            name for found, name in spans if found == service and name.split()[0].isupper()
        ]
        assert statements, (service, sorted(spans))
