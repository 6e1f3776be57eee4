"""A pod's Envoy tells the kubelet how the pod is, and offers nothing else on that port."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from conftest import free_offset
from envoy_authority import Authority
from envoy_pods import (
    brought_here,
    mount_certificate,
    of_pod,
    post_admin,
    prepare_pod,
    probed,
)
from envoy_sidecars import ROOT, prepare, running, validate
from envoy_stubs import App, served

from paymesh.mesh import Mesh, load_mesh

MESH = load_mesh(ROOT, port_offset=0)
AUTHORITY = Authority("pods")
# grpc.health.v1.HealthCheckResponse.
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


@pytest.fixture
def run() -> Iterator[Path]:
    """Short: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="paymesh-probe-") as name:
        yield Path(name)


def _prepared(run: Path, mesh: Mesh, workload: str) -> tuple[Path, int]:
    svid = AUTHORITY.svid(mesh.spiffe_id(workload), f"{workload}.{mesh.trust_domain}")
    return prepare_pod(run, mesh, workload, AUTHORITY, svid)


def _becomes(port: int, path: str, status: int) -> bool:
    deadline = time.monotonic() + 10
    while _probed_or_cut(port, path) != status:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _probed_or_cut(port: int, path: str) -> int | None:
    """None from a listener that has all the connections that it may have."""
    try:
        return probed(port, path)
    except ConnectionError:
        return None


@pytest.mark.parametrize("workload", [w.name for w in MESH.sidecars()])
def test_envoy_accepts_the_pods_file(run: Path, workload: str) -> None:
    """`envoy --mode validate` has nothing to say of it, not even a warning."""
    svid = AUTHORITY.svid(MESH.spiffe_id(workload), f"{workload}.{MESH.trust_domain}")
    home = prepare(run, MESH, workload, AUTHORITY, svid)
    mount_certificate(home, AUTHORITY.server("localhost"))
    text = yaml.safe_dump(brought_here(of_pod(workload)))
    (home / "pod.yaml").write_text(text, encoding="utf-8")
    assert validate(home, "pod.yaml") == ""


def test_pod_is_ready_when_app_and_policy_are(run: Path) -> None:
    """Alive at once; ready only while both serve; not after Envoy was told to fail."""
    home, port = _prepared(run, load_mesh(ROOT, port_offset=free_offset()), "ledger")
    app, policy = App(), App()
    app.answer = policy.answer = SERVING
    with ExitStack() as stack:
        stack.enter_context(running(home))
        assert [probed(port, path) for path in ("/live", "/ready", "/app")] == [200, 503, 503]
        stack.enter_context(served(policy, home / "authz.sock"))
        app.answer = NOT_SERVING
        stack.enter_context(served(app, home / "app.sock"))
        time.sleep(1.5)  # longer than it takes to be found serving
        assert [probed(port, path) for path in ("/ready", "/app")] == [503, 503]
        app.answer = SERVING
        assert _becomes(port, "/ready", 200)
        assert _becomes(port, "/app", 200)
        policy.answer = NOT_SERVING
        assert _becomes(port, "/ready", 503)
        assert [probed(port, path) for path in ("/live", "/app")] == [200, 200]
        policy.answer = SERVING
        assert _becomes(port, "/ready", 200)
        assert post_admin(home, "/healthcheck/fail") == 200
        assert [probed(port, path) for path in ("/live", "/ready", "/app")] == [503, 503, 503]
        assert post_admin(home, "/healthcheck/ok") == 200
        assert _becomes(port, "/ready", 200)


def test_gateway_is_ready_when_it_is_alive(run: Path) -> None:
    """A gateway has neither app nor policy beside it, and no path that asks for them."""
    home, port = _prepared(run, load_mesh(ROOT, port_offset=free_offset()), "gateway")
    with running(home):
        assert [probed(port, path) for path in ("/live", "/ready", "/app")] == [200, 200, 404]
        assert post_admin(home, "/healthcheck/fail") == 200
        assert [probed(port, path) for path in ("/live", "/ready")] == [503, 503]


def test_probe_port_leads_nowhere(run: Path) -> None:
    """No other path or method, no administration, no RPC, no HTTP/2; connections are limited."""
    home, port = _prepared(run, load_mesh(ROOT, port_offset=free_offset()), "ledger")
    app = App()
    app.answer = SERVING
    with ExitStack() as stack:
        stack.enter_context(served(app, home / "app.sock"))
        stack.enter_context(served(app, home / "authz.sock"))
        stack.enter_context(running(home))
        assert _becomes(port, "/ready", 200)
        health = {call.method for call in app.calls}
        assert health == {"/grpc.health.v1.Health/Check"}
        paths = (
            *("/", "/stats", "/config_dump", "/healthcheck/fail", "/quitquitquit"),
            *("/live/", "/live?x", "//live", "/LIVE", "/%6cive", "/ready/../app"),
            *("/paymesh.ledger.v1.LedgerService/PostTransfer", "/grpc.health.v1.Health/Check"),
        )
        for path in paths:
            assert probed(port, path) == 404, path
            assert probed(port, path, "POST") == 404, path
        assert probed(port, "/ready", "POST") == 404
        assert b"HTTP/1.1 400" in _spoken(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert {call.method for call in app.calls} == health
        _exhaust(port)
        assert _becomes(port, "/live", 200)


def _spoken(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(text)
        return connection.recv(4096)


def _exhaust(port: int) -> None:
    """One connection more than there may be is closed; then all of them are given back."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            for _ in range(33)
        ]
        assert connections[-1].recv(1) == b""
