"""`python -m statements` with an SVID of its own, over real mutual TLS."""

# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from meshkit.testing.authority import TestAuthority
from meshkit.testing.workload_api import FakeWorkloadApi
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from paymesh.money.v1 import money_pb2

TIMEOUT_SECONDS = 30.0
ACCOUNT = ledger_pb2.Account(
    account_id="0e3a1ac6-4a5c-4f8c-9b6e-0f6a4c1d2b3a",
    legal_entity="acme",
    kind=ledger_pb2.ACCOUNT_KIND_CLEARING,
    currency_code="EUR",
)
AMOUNT = money_pb2.Money(currency_code="EUR", minor_units=-1250)
BALANCE = ledger_pb2.Balance(account=ACCOUNT, amount=AMOUNT, entry_count=1)


class _Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    """One account with one entry; notes the serial number of each caller's certificate."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._serials: set[int] = set()

    def ListBalances(self, _request, context):
        pem = context.auth_context()["x509_pem_cert"][0]
        with self._changed:
            self._serials.add(x509.load_pem_x509_certificate(pem).serial_number)
            self._changed.notify_all()
        return ledger_pb2.ListBalancesResponse(balances=[BALANCE])

    def GetBalance(self, _request, _context):
        return ledger_pb2.GetBalanceResponse(balance=BALANCE)

    def ListEntries(self, _request, _context):
        entry = ledger_pb2.Entry(entry_id=1, amount=AMOUNT, reference="order 17")
        return ledger_pb2.ListEntriesResponse(entries=[entry])

    def wait_for(self, serial: int) -> bool:
        """Whether the certificate with the serial number came within the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: serial in self._serials, TIMEOUT_SECONDS)


@contextmanager
def ledger_as(workload: str, authority: TestAuthority) -> Iterator[tuple[_Ledger, str]]:
    """The ledger with the SVID of a workload; itself and its address."""
    svid = authority.issue(workload)
    servicer = _Ledger()
    server = grpc.server(ThreadPoolExecutor(4))
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(servicer, server)
    credentials = grpc.ssl_server_credentials(
        [(svid.key_pem, svid.chain_pem)], authority.root_pem, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def authority() -> TestAuthority:
    """The CA of the mesh's trust domain."""
    return TestAuthority()


@pytest.fixture
def workload_api(tmp_path: Path) -> Iterator[FakeWorkloadApi]:
    """A Workload API that gives nothing yet."""
    with FakeWorkloadApi(tmp_path / "api.sock") as api:
        yield api


@contextmanager
def statements(
    api: FakeWorkloadApi, address: str, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """The process."""
    with subprocess.Popen(
        [sys.executable, "-m", "statements", "--legal-entity", "acme", "-o", "json", *arguments],
        env={
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PAYMESH_LEDGER_ADDRESS": address,
            "SPIFFE_ENDPOINT_SOCKET": f"unix://{api.socket}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_one_round(authority: TestAuthority, workload_api: FakeWorkloadApi) -> None:
    """With its own SVID it reads the ledger, prints one document and ends with status 0."""
    workload_api.give(authority.issue("statements"), authority)
    with (
        ledger_as("ledger", authority) as (_, address),
        statements(workload_api, address) as process,
    ):
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document["verified"] is True
    assert document["accounts"][0]["closing_minor_units"] == -1250


def test_rotation_while_watching(authority: TestAuthority, workload_api: FakeWorkloadApi) -> None:
    """One process goes on through a rotation of its certificate without a failed round, and
    ends with status 0 on SIGTERM.
    """
    first, second = authority.issue("statements"), authority.issue("statements")
    workload_api.give(first, authority)
    with (
        ledger_as("ledger", authority) as (ledger, address),
        statements(workload_api, address, "--watch", "0.05") as process,
    ):
        assert ledger.wait_for(first.certificate.serial_number)
        workload_api.give(second, authority)
        assert ledger.wait_for(second.certificate.serial_number)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, err
    assert "could not be read" not in err
    assert [json.loads(line)["verified"] for line in out.splitlines()] == [True] * out.count("\n")


def test_a_ledger_that_is_somebody_else(
    authority: TestAuthority, workload_api: FakeWorkloadApi
) -> None:
    """Another workload's SVID at the ledger's address is not talked to: status 3, nothing read."""
    workload_api.give(authority.issue("statements"), authority)
    with (
        ledger_as("payments", authority) as (_, address),
        statements(workload_api, address) as process,
    ):
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, out) == (3, "")
    assert "The ledger could not be read: UNAVAILABLE" in err
