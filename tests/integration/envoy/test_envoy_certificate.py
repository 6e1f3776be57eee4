"""A renewed certificate of the gateway is served without a restart; a broken one never is."""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import free_offset
from cryptography import x509
from envoy_authority import Authority, Pair
from envoy_pods import prepare_pod, renew
from envoy_sidecars import ROOT, admin, running

from paymesh.mesh import load_mesh

AUTHORITY = Authority("edge")


@pytest.fixture
def run() -> Iterator[Path]:
    """Short: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="paymesh-edge-") as name:
        yield Path(name)


def _connected(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=AUTHORITY.bundle.decode())
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    return context.wrap_socket(plain, server_hostname="localhost")


def _served(port: int) -> int:
    """The serial number of the certificate that a new connection is shown."""
    with _connected(port) as connection:
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def _serial(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate).serial_number


def _becomes(port: int, pair: Pair) -> bool:
    deadline = time.monotonic() + 10
    while _served(port) != _serial(pair):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _until_refused(home: Path) -> None:
    deadline = time.monotonic() + 10
    while "sds.public.key_rotation_failed: 1" not in admin(home, "/stats?filter=sds.public"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_renewed_certificate_is_served(run: Path) -> None:
    """The kubelet swaps the Secret: new connections see the new one, open ones stay.

    One whose key is another's is not taken: the one before is served on, until it is mended.
    """
    mesh = load_mesh(ROOT, port_offset=free_offset())
    svid = AUTHORITY.svid(mesh.spiffe_id("gateway"), f"gateway.{mesh.trust_domain}")
    home, _ = prepare_pod(run, mesh, "gateway", AUTHORITY, svid)
    port = mesh.workloads["gateway"].port or 0
    renewed, other, mended = (AUTHORITY.server("localhost") for _ in range(3))
    with running(home), _connected(port) as open_before:
        assert _served(port) != _serial(renewed)
        renew(home, renewed)
        assert _becomes(port, renewed)
        open_before.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert open_before.recv(4096).startswith(b"HTTP/1.1 401")
        renew(home, Pair(other.certificate, renewed.key))
        _until_refused(home)
        assert _served(port) == _serial(renewed)
        renew(home, mended)
        assert _becomes(port, mended)
