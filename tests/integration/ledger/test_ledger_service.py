"""The whole service over real PostgreSQL: its server in this process, and as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from ledger.bootstrap import registration
from ledger.handlers import Ledger
from ledger.store import PostgresStore
from meshkit.database import open_pool
from meshkit.errors import from_rpc
from meshkit.testing import FakeObjectPolicy, app_config, headers, serving
from paymesh.ledger.v1 import ledger_pb2
from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from paymesh.money.v1 import money_pb2

if TYPE_CHECKING:
    from tests.integration.conftest import Database

PAYMENTS = headers("payments")
START_SECONDS = 20.0


def opening(kind: ledger_pb2.AccountKind) -> ledger_pb2.OpenAccountRequest:
    """A request for an account in yen."""
    return ledger_pb2.OpenAccountRequest(
        request_id=str(uuid.uuid4()), legal_entity="acme", kind=kind, currency_code="JPY"
    )


async def test_many_replays_over_the_wire(postgres_store: PostgresStore, tmp_path: Path) -> None:
    """Many calls with one request id at once get the same answer and post one transfer."""
    config = app_config(tmp_path)
    ledger = Ledger(store=postgres_store, policy=FakeObjectPolicy.allow_all())
    async with serving([registration(ledger, config)], config) as channel:
        stub = LedgerServiceStub(channel)
        clearing, merchant = [
            (await stub.OpenAccount(opening(kind), metadata=PAYMENTS)).account
            for kind in (ledger_pb2.ACCOUNT_KIND_CLEARING, ledger_pb2.ACCOUNT_KIND_MERCHANT)
        ]
        request = ledger_pb2.PostTransferRequest(
            request_id=str(uuid.uuid4()),
            legs=[
                ledger_pb2.Leg(
                    account_id=account.account_id,
                    amount=money_pb2.Money(currency_code="JPY", minor_units=units),
                )
                for account, units in ((clearing, -1250), (merchant, 1250))
            ],
        )
        answers = await asyncio.gather(
            *(stub.PostTransfer(request, metadata=PAYMENTS) for _ in range(30))
        )
        balance = await stub.GetBalance(
            ledger_pb2.GetBalanceRequest(account_id=merchant.account_id), metadata=PAYMENTS
        )
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert balance.balance.amount.minor_units == 1250
    assert balance.balance.entry_count == 1


async def test_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is not there is UNAVAILABLE with its own reason, after the pool's timeout."""
    monkeypatch.setattr("meshkit.database.POOL_TIMEOUT_SECONDS", 0.5)
    config = app_config(tmp_path, dsn=f"host={tmp_path} dbname=ledger user=ledger")
    pool = await open_pool(config)
    try:
        ledger = Ledger(store=PostgresStore(pool), policy=FakeObjectPolicy.allow_all())
        async with serving([registration(ledger, config)], config) as channel:
            stub = LedgerServiceStub(channel)
            request = opening(ledger_pb2.ACCOUNT_KIND_MERCHANT)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.OpenAccount(request, metadata=PAYMENTS, timeout=10)
    finally:
        await pool.close()
    error = from_rpc(raised.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")


@pytest.fixture
def process(database: Database, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m ledger` in a directory such as its runtime directory."""
    (tmp_path / "dsn").write_text(database.service_dsn)
    (tmp_path / "pdp-token").write_text("test-token")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PAYMESH_WORKLOAD": "ledger",
        "PAYMESH_TRUST_DOMAIN": "paymesh.internal",
        "PAYMESH_APP_SOCKET": "app.sock",
        "PAYMESH_OUTBOUND_SOCKET": "outbound.sock",
        "PAYMESH_DSN_FILE": "dsn",
        "PAYMESH_PDP_URL": "http://127.0.0.1:9",  # discard: nobody listens
        "PAYMESH_PDP_TOKEN_FILE": "pdp-token",
        "PAYMESH_MAX_MESSAGE_BYTES": "65536",
    }
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "ledger"], cwd=tmp_path, env=environment, stderr=log
        ) as process,
    ):
        yield process
        process.kill()


async def test_as_a_process(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """It serves on its socket, refuses what it cannot ask its policy engine, writes nothing
    then, and ends with status 0 on SIGTERM.
    """
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/app.sock") as channel:
        stub = LedgerServiceStub(channel)
        nobody = ledger_pb2.GetBalanceRequest(account_id=str(uuid.uuid4()))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetBalance(
                nobody, metadata=PAYMENTS, timeout=START_SECONDS, wait_for_ready=True
            )
        assert from_rpc(raised.value).reason == "ACCOUNT_NOT_FOUND", (tmp_path / "log").read_text()
        request = opening(ledger_pb2.ACCOUNT_KIND_MERCHANT)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.OpenAccount(request, metadata=PAYMENTS, timeout=5)
        assert from_rpc(raised.value).reason == "POLICY_ENGINE_UNAVAILABLE"
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 15) == 0, (tmp_path / "log").read_text()


def test_without_configuration(tmp_path: Path) -> None:
    """It refuses to start and names what is missing in one line."""
    result = subprocess.run(
        [sys.executable, "-m", "ledger"],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert result.returncode == 78
    assert result.stderr == "PAYMESH_WORKLOAD is not set.\n"
