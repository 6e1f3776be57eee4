"""The bundle server on a network: TLS 1.3, renewed certificates, and the whole way to a PDP."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, ServerDisconnectedError
from aiohttp.client_exceptions import ClientOSError

from paymesh.mesh import repository_root
from paymesh.policy import follower, publisher, server
from paymesh.policy.certificate import Certificate
from paymesh.runtime import pki

from . import fake_api, live
from .conftest import BUNDLE_TOKEN
from .test_live_policy import grant_health_to_payments

LIVE_SECONDS = 2.0
HEADERS = {"Authorization": f"Bearer {BUNDLE_TOKEN}"}


class Files:
    """An authority, and a certificate and key of its in two files."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.certificate = directory / "tls.crt"
        self.key = directory / "tls.key"
        self.authority_pem = directory / "ca.pem"
        self._directory = directory
        self.authority = pki.ensure_authority(directory, "platform")
        self.authority_pem.write_bytes(self.authority.pem)
        self.issue(self.certificate, self.key)

    def issue(self, certificate: Path, key: Path) -> None:
        """Writes a fresh pair."""
        for path in (certificate, key):
            path.unlink(missing_ok=True)
        pki.ensure_leaf(
            self.authority, certificate, key, common_name="bundles", names=["127.0.0.1"]
        )

    def client(self) -> ssl.SSLContext:
        """Trusts the authority."""
        return ssl.create_default_context(cafile=str(self.authority_pem))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A certificate for 127.0.0.1."""
    return Files(tmp_path / "tls")


@pytest.fixture
def tls_port(tmp_path: Path, files: Files) -> Iterator[int]:
    """The program as a pod runs it, on an empty directory `bundles`."""
    port = live.free_port()
    (tmp_path / "bundles").mkdir(exist_ok=True)
    digest = hashlib.sha256(BUNDLE_TOKEN.encode()).hexdigest()
    (tmp_path / "tokens").write_text(f"{digest} ledger\n")
    process = subprocess.Popen(
        [
            sys.executable,
            *("-m", "paymesh.policy.server", "--directory", tmp_path / "bundles"),
            *("--address", "0.0.0.0", "--port", str(port)),  # noqa: S104 - that is the point
            *("--tokens", tmp_path / "tokens"),
            *("--tls-cert", files.certificate, "--tls-key", files.key),
        ],
        env={**os.environ, "PYTHONPATH": str(repository_root() / "deploy")},
    )
    try:
        wait_until(lambda: served(port) is not None)
        yield port
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def served(port: int) -> bytes | None:
    """The certificate that the server shows, DER; None while it does not listen."""
    try:
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    except (ConnectionError, TimeoutError):
        return None
    return ssl.PEM_cert_to_DER_cert(pem)


async def test_a_client_that_trusts_the_authority_is_served(
    tls_port: int, tmp_path: Path, files: Files
) -> None:
    """TLS 1.3, the name checked, and the token still needed."""
    (tmp_path / "bundles" / server.FILE_NAME).write_bytes(b"one")
    url = f"https://127.0.0.1:{tls_port}"
    async with ClientSession() as session:
        while True:
            async with session.get(f"{url}/health", ssl=files.client()) as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.01)
        path = f"{url}/bundles/{server.FILE_NAME}"
        async with session.get(path, ssl=files.client(), headers=HEADERS) as answer:
            assert await answer.read() == b"one"
        async with session.get(path, ssl=files.client()) as answer:
            assert answer.status == 401


async def test_nobody_is_served_otherwise(tls_port: int, tmp_path: Path, files: Files) -> None:
    """No plain HTTP, no TLS 1.2; and a client that trusts another authority goes away."""
    old = files.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    stranger = Files(tmp_path / "stranger").client()
    async with ClientSession() as session:
        for context in (old, stranger):
            with pytest.raises(ClientConnectorError):
                await session.get(f"https://127.0.0.1:{tls_port}/health", ssl=context)
        with pytest.raises((ServerDisconnectedError, ClientOSError)):
            await session.get(f"http://127.0.0.1:{tls_port}/health")


def test_a_renewed_certificate_is_shown_without_a_restart(tls_port: int, files: Files) -> None:
    """New connections get the pair of the files, which a Secret's volume replaces."""
    before = served(tls_port)
    files.issue(files.certificate, files.key)
    wait_until(lambda: served(tls_port) not in {None, before})
    assert served(tls_port) == ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


def test_half_a_renewal_changes_nothing(tmp_path: Path, files: Files) -> None:
    """While certificate and key do not fit, or one is gone, the last pair is shown."""
    certificate = Certificate(files.certificate, files.key)
    assert not certificate.refresh()
    fresh = (tmp_path / "fresh.crt", tmp_path / "fresh.key")
    files.issue(*fresh)
    fresh[0].replace(files.certificate)
    assert not certificate.refresh()
    files.key.unlink()
    assert not certificate.refresh()
    fresh[1].replace(files.key)
    assert certificate.refresh()
    assert not certificate.refresh()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--address", "192.0.2.1"], "--tls-cert is needed"),
        (["--address", "::"], "--tls-cert is needed"),
        (["--address", "somewhere"], "does not appear to be an IPv4 or IPv6 address"),
        (["--tls-cert", "tls.crt"], "go together"),
        (["--tls-key", "tls.key"], "go together"),
        (["--tls-cert", "tls.crt", "--tls-key", "nothing"], "No such file"),
        (["--tls-cert", "tls.crt", "--tls-key", "other.key"], "do not fit"),
        (["--tls-cert", "tls.key", "--tls-key", "tls.key"], "do not fit"),
    ],
)
def test_tokens_never_cross_a_network_in_the_clear(
    tmp_path: Path,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: list[str],
    complaint: str,
) -> None:
    """Without a working certificate the server does not start beyond loopback."""
    files.issue(tmp_path / "other.crt", files.certificate.with_name("other.key"))
    (tmp_path / "tokens").write_text(hashlib.sha256(b"x").hexdigest())
    monkeypatch.chdir(files.certificate.parent)
    fixed = ["--directory", str(tmp_path), "--tokens", str(tmp_path / "tokens"), "--port", "1"]
    assert server.main([*fixed, *arguments]) == 1
    errors = capsys.readouterr().err
    assert complaint in errors
    assert len(errors.splitlines()) == 1


class End(BaseException):
    """Ends a follower."""


def _end(_: float) -> None:
    raise End


def test_a_push_reaches_a_decision_point(
    settings: publisher.Settings,
    pdp_config: dict[str, Any],
    start_pdp: live.StartPdp,
    *,
    tls_port: int,
    files: Files,
    tmp_path: Path,
) -> None:
    """ConfigMap, follower, server over TLS, PDP: enforced within two seconds of the push."""

    def push() -> None:
        asyncio.run(publisher.publish_once(settings))
        data = (settings.directory / server.FILE_NAME).read_bytes()
        api.put({server.FILE_NAME: base64.b64encode(data).decode()})

    # The publisher's own directory is not the server's here.
    settings = dataclasses.replace(settings, directory=tmp_path / "pushed")
    settings.directory.mkdir()
    service = pdp_config["services"]["bundles"]
    service["url"] = f"https://127.0.0.1:{tls_port}"
    service["tls"] = {"ca_cert": str(files.authority_pem)}
    api = fake_api.FakeApi()
    program = follower.Follower(
        follower.connect(api.kubeconfig(tmp_path)),
        fake_api.NAMESPACE,
        fake_api.NAME,
        server.FILE_NAME,
        tmp_path / "bundles",
    )
    thread = threading.Thread(target=follow, args=(program,))
    thread.start()
    try:
        push()
        running = start_pdp(pdp_config)
        running.wait_for(live.UNGRANTED, "RPC_NOT_GRANTED", 20)
        grants = settings.policies / "paymesh/grants/data.yaml"
        before = grants.read_text()
        elapsed_seconds = []
        for _ in range(3):
            start = time.monotonic()
            grant_health_to_payments(settings)
            push()
            running.wait_for(live.UNGRANTED, "ALLOWED", 20)
            elapsed_seconds.append(time.monotonic() - start)
            grants.write_text(before)
            push()
            running.wait_for(live.UNGRANTED, "RPC_NOT_GRANTED", 20)
        assert min(elapsed_seconds) < LIVE_SECONDS
    finally:
        api.close()
        thread.join(timeout=20)
    assert not thread.is_alive()


def follow(program: follower.Follower) -> None:
    """Until the API server goes away."""
    try:
        program.follow(sleep=_end)
    except End:
        return
