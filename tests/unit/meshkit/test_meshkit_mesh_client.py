"""The client of a workload without a sidecar, against a real Workload API and real mutual TLS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from meshkit.mesh_client import MeshClient, MeshIdentityError
from meshkit.testing.authority import TestAuthority, TestSvid
from meshkit.testing.workload_api import FakeWorkloadApi
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

REQUEST = ledger_pb2.GetBalanceRequest(account_id="0e3a1ac6-4a5c-4f8c-9b6e-0f6a4c1d2b3a")


class _Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    """Notes the serial number of each caller's certificate; waits if told to."""

    def __init__(self) -> None:
        self.serials: list[int] = []
        self.hold = threading.Event()
        self.hold.set()

    def GetBalance(self, _request: Any, context: Any) -> Any:  # noqa: N802
        pem = context.auth_context()["x509_pem_cert"][0]
        self.serials.append(x509.load_pem_x509_certificate(pem).serial_number)
        self.hold.wait(10)
        return ledger_pb2.GetBalanceResponse()


@contextmanager
def ledger_with(svid: TestSvid, authority: TestAuthority) -> Iterator[tuple[_Ledger, str]]:
    """Serve a ledger with mutual TLS under an SVID; give it and its address."""
    servicer = _Ledger()
    server = grpc.server(ThreadPoolExecutor(8))
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(servicer, server)
    credentials = grpc.ssl_server_credentials(
        [(svid.key_pem, svid.chain_pem)], authority.root_pem, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        servicer.hold.set()
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


def client_of(api: FakeWorkloadApi, address: str, **options: Any) -> MeshClient:
    """Return a client for the ledger."""
    options.setdefault("svid_timeout_seconds", 5)
    return MeshClient("ledger", address, workload_api_socket=api.socket, **options)


def test_calls_with_its_own_svid(authority: TestAuthority, workload_api: FakeWorkloadApi) -> None:
    """The callee sees the certificate that the Workload API gave."""
    svid = authority.issue("statements")
    workload_api.give(svid, authority)
    with (
        ledger_with(authority.issue("ledger"), authority) as (ledger, address),
        client_of(workload_api, address) as channel,
    ):
        ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(REQUEST, timeout=5)
    assert ledger.serials == [svid.certificate.serial_number]


def test_certificates_rotate_without_a_failed_call(
    authority: TestAuthority, workload_api: FakeWorkloadApi
) -> None:
    """Under one channel and one stub, calls go on through five rotations and none fails."""
    svids = [authority.issue("statements") for _ in range(6)]
    workload_api.give(svids[0], authority)
    done = threading.Event()
    failures: list[Exception] = []

    with (
        ledger_with(authority.issue("ledger"), authority) as (ledger, address),
        client_of(workload_api, address) as channel,
    ):
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)

        def call_on() -> None:
            while not done.is_set():
                try:
                    stub.GetBalance(REQUEST, timeout=5)
                except grpc.RpcError as error:
                    failures.append(error)
                time.sleep(0.002)

        callers = [threading.Thread(target=call_on) for _ in range(2)]
        for caller in callers:
            caller.start()
        for svid in svids[1:]:
            workload_api.give(svid, authority)
            _wait_until(lambda svid=svid: ledger.serials[-1:] == [svid.certificate.serial_number])
        done.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert set(ledger.serials) == {svid.certificate.serial_number for svid in svids}


def test_a_call_that_runs_survives_the_rotation(
    authority: TestAuthority, workload_api: FakeWorkloadApi
) -> None:
    """A call that began before a rotation finishes on the connection that it began on."""
    old, new = authority.issue("statements"), authority.issue("statements")
    workload_api.give(old, authority)
    with (
        ledger_with(authority.issue("ledger"), authority) as (ledger, address),
        client_of(workload_api, address) as channel,
    ):
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        ledger.hold.clear()
        running = stub.GetBalance.future(REQUEST, timeout=8)
        _wait_until(lambda: len(ledger.serials) == 1)
        workload_api.give(new, authority)
        time.sleep(0.5)
        ledger.hold.set()
        running.result()
        stub.GetBalance(REQUEST, timeout=5)
    assert ledger.serials == [old.certificate.serial_number, new.certificate.serial_number]


def test_another_workload_at_the_address_is_refused(
    authority: TestAuthority, workload_api: FakeWorkloadApi
) -> None:
    """A genuine SVID of the wrong workload does not pass for the callee, and sees no request."""
    workload_api.give(authority.issue("statements"), authority)
    with (
        ledger_with(authority.issue("payments"), authority) as (ledger, address),
        client_of(workload_api, address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(REQUEST, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ledger.serials == []


def test_the_callees_name_under_another_authority_is_refused(
    authority: TestAuthority, workload_api: FakeWorkloadApi
) -> None:
    """A certificate with the callee's very names, signed by another CA, does not pass."""
    workload_api.give(authority.issue("statements"), authority)
    foreign = TestAuthority()
    with (
        ledger_with(foreign.issue("ledger"), authority) as (ledger, address),
        client_of(workload_api, address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(REQUEST, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ledger.serials == []


def test_without_an_identity_it_says_so(workload_api: FakeWorkloadApi) -> None:
    """A workload that SPIRE does not know gets one sentence within the timeout."""
    started = time.monotonic()
    with pytest.raises(MeshIdentityError, match="gave no SVID within 1 s"):
        client_of(workload_api, "127.0.0.1:1", svid_timeout_seconds=1).__enter__()
    assert time.monotonic() - started < 4


def test_an_expired_svid_is_not_used(
    authority: TestAuthority, workload_api: FakeWorkloadApi
) -> None:
    """Once the SVID is over, calls stop, even over a connection that still stands."""
    workload_api.give(authority.issue("statements", life_seconds=2), authority)
    with (
        ledger_with(authority.issue("ledger"), authority) as (_, address),
        client_of(workload_api, address) as channel,
    ):
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        stub.GetBalance(REQUEST, timeout=5)
        time.sleep(2.1)
        with pytest.raises(MeshIdentityError):
            stub.GetBalance(REQUEST, timeout=5)


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
def test_it_comes_back_after_the_workload_api_failed(
    authority: TestAuthority, workload_api: FakeWorkloadApi, code: grpc.StatusCode
) -> None:
    """An agent that goes away and comes back is followed again; calls go on meanwhile."""
    old, new = authority.issue("statements"), authority.issue("statements")
    workload_api.give(old, authority)
    with (
        ledger_with(authority.issue("ledger"), authority) as (ledger, address),
        client_of(workload_api, address, svid_timeout_seconds=1) as channel,
    ):
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        workload_api.refuse(code)
        time.sleep(0.3)
        stub.GetBalance(REQUEST, timeout=5)
        workload_api.give(new, authority)

        def new_one_seen() -> bool:
            stub.GetBalance(REQUEST, timeout=5)
            return ledger.serials[-1] == new.certificate.serial_number

        _wait_until(new_one_seen)
    assert ledger.serials[0] == old.certificate.serial_number


def test_a_callee_is_a_workloads_name() -> None:
    """A callee that is no workload's name is refused before anything is connected."""
    with pytest.raises(ValueError, match="workload"):
        MeshClient("ledger.paymesh.internal", "127.0.0.1:1")


def _wait_until(holds: Any, seconds: float = 8) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "did not come about in time"
        time.sleep(0.01)
