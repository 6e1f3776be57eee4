"""`python -m bank_link` as the supervisor starts it: on a database, without its neighbours."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import bank_link
from meshkit.context import User
from meshkit.errors import from_rpc
from meshkit.testing import headers
from paymesh.bank_link.v1 import bank_link_pb2 as pb
from paymesh.bank_link.v1 import bank_link_pb2_grpc

_ALICE = headers(user=User("alice", "acme", frozenset({"customer"})), authorization="Bearer a.b.c")
_KEY = "the-provider-key-of-nothing"
_TOKEN = f"public-sandbox-success-{uuid.uuid4()}"


@pytest.fixture
def runtime(database: Any) -> Iterator[Path]:
    """A runtime directory with what the service is told by files."""
    with tempfile.TemporaryDirectory(prefix="bl") as name:  # short: it holds a socket
        directory = Path(name)
        for file, content in (
            ("dsn", database.service_dsn),
            ("pdp-token", "a-token"),
            ("bank-data.key", _KEY),
        ):
            (directory / file).write_text(content)
        yield directory


def _start(directory: Path, **changes: str) -> subprocess.Popen[bytes]:
    services = Path(bank_link.__file__ or "").parents[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{services}:{services / '_generated'}",
        "PAYMESH_WORKLOAD": "bank-link",
        "PAYMESH_TRUST_DOMAIN": "paymesh.internal",
        "PAYMESH_APP_SOCKET": "app.sock",
        "PAYMESH_OUTBOUND_SOCKET": "outbound.sock",
        "PAYMESH_EGRESS_SOCKET": "egress.sock",
        "PAYMESH_DSN_FILE": "dsn",
        "PAYMESH_PDP_URL": "http://127.0.0.1:9",
        "PAYMESH_PDP_TOKEN_FILE": "pdp-token",
        "PAYMESH_PROVIDER_KEY_FILE": "bank-data.key",
        "PAYMESH_MAX_MESSAGE_BYTES": "65536",
        "PAYMESH_LOG_LEVEL": "debug",
    }
    used = {name: value for name, value in (environment | changes).items() if value}
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bank_link"], cwd=directory, env=used, stdout=log, stderr=log
        )


async def _reason(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    error = from_rpc(failure.value)
    return error.code, error.reason


async def test_it_serves_fails_closed_and_stops(runtime: Path) -> None:
    """Healthy at once; without provider and policy engine it says which is missing, creates and
    removes nothing, logs no secret, and SIGTERM ends it with 0.
    """
    process = _start(runtime)
    try:
        async with grpc.aio.insecure_channel(f"unix:{runtime / 'app.sock'}") as channel:
            request = health_pb2.HealthCheckRequest(service="paymesh.bank_link.v1.BankLinkService")
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                request, wait_for_ready=True, timeout=30
            )
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            stub = bank_link_pb2_grpc.BankLinkServiceStub(channel)
            create = pb.CreateLinkRequest(
                request_id=str(uuid.uuid4()), institution_id="ins_one", public_token=_TOKEN
            )
            assert await _reason(stub.CreateLink(create, metadata=_ALICE, timeout=15)) == (
                grpc.StatusCode.UNAVAILABLE,
                "PROVIDER_UNAVAILABLE",
            )
            listed = await stub.ListLinks(pb.ListLinksRequest(), metadata=_ALICE, timeout=15)
            assert list(listed.links) == []
            get = pb.GetLinkRequest(link_id=str(uuid.uuid4()))
            assert await _reason(stub.GetLink(get, metadata=_ALICE, timeout=15)) == (
                grpc.StatusCode.NOT_FOUND,
                "LINK_NOT_FOUND",
            )
            assert await _reason(stub.GetLink(get, timeout=15)) == (
                grpc.StatusCode.INTERNAL,
                "NOT_THROUGH_SIDECAR",
            )
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.wait()
    log = (runtime / "log").read_text()
    assert "PROVIDER_UNAVAILABLE" in log
    for secret in (_KEY, _TOKEN, "a.b.c", "a-token"):
        assert secret not in log


@pytest.mark.parametrize("variable", ["PAYMESH_PROVIDER_KEY_FILE", "PAYMESH_EGRESS_SOCKET"])
async def test_it_refuses_to_start_without_its_provider(runtime: Path, variable: str) -> None:
    """One sentence that names the variable, and a status that says: configuration."""
    process = _start(runtime, **{variable: "", "PAYMESH_LOG_LEVEL": "info"})
    assert await asyncio.to_thread(process.wait, 30) == 78
    assert (runtime / "log").read_text() == f"{variable} is not set.\n"
