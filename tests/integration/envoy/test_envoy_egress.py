"""From a workload to a named host outside the mesh, and to nobody else."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Stage
from envoy_authority import Authority, Pair

HOST = "api.cards.test"


class _Provider(http.server.BaseHTTPRequestHandler):
    seen: list[dict[str, str]] = []  # noqa: RUF012 — emptied by each test

    def do_POST(self) -> None:
        """Answers 200 to everything."""
        self.seen.append({key.lower(): value for key, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""


@contextlib.contextmanager
def _provider(stage: Stage, pair: Pair, tmp: Path) -> Iterator[None]:
    (tmp / "provider.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp / "provider.pem")
    address = (stage.mesh.address, stage.mesh.external["card-processor"].port)
    _Provider.seen.clear()
    with http.server.ThreadingHTTPServer(address, _Provider) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _post(stage: Stage, host: str, **headers: str) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(stage.homes["payments"] / "egress.sock"))
    with httpx.Client(transport=transport, base_url=f"http://{host}", timeout=10) as client:
        return client.post("/v1/charges", headers=headers, json={})


def test_named_host_is_reached_over_verified_tls(clean: Stage, tmp_path: Path) -> None:
    """The app speaks plain HTTP; the provider sees TLS, the app's key, and nothing of the mesh."""
    with _provider(clean, clean.authority.server(HOST), tmp_path):
        answer = _post(clean, HOST, authorization="Bearer key", **{"x-paymesh-user": "alice"})
    assert (answer.status_code, answer.text) == (200, "ok")
    (seen,) = _Provider.seen
    assert seen["host"] == HOST
    assert seen["authorization"] == "Bearer key"
    assert [name for name in seen if name.startswith(("x-paymesh-", "x-envoy-"))] == []


@pytest.mark.parametrize("impostor", ["another name", "another authority"])
def test_impostor_is_not_spoken_to(clean: Stage, tmp_path: Path, impostor: str) -> None:
    """A certificate for another name, or of another authority, ends the call unsent."""
    pair = {
        "another name": clean.authority.server("api.evil.test"),
        "another authority": Authority("evil").server(HOST),
    }[impostor]
    with _provider(clean, pair, tmp_path):
        answer = _post(clean, HOST)
    assert answer.status_code == 503
    assert answer.headers["x-paymesh-reason"] == "SERVICE_UNAVAILABLE"
    assert _Provider.seen == []


@pytest.mark.parametrize("host", ["api.banks.test", "evil.test", "127.0.0.1", f"{HOST}.evil.test"])
def test_other_hosts_are_refused(clean: Stage, host: str) -> None:
    """A host that mesh.yaml does not name for this workload is refused, not looked up."""
    answer = _post(clean, host)
    assert answer.status_code == 403
    assert answer.headers["x-paymesh-reason"] == "NO_ROUTE"
