"""What the environment says about shipping decisions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from pathlib import Path

import pytest

from paymesh.errors import ConfigError, SetupError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import shipping
from paymesh.runtime.accounts import Accounts
from paymesh.runtime.processes import passed_on
from paymesh.runtime.shipping import CA_FILE, HTTP_ENDPOINT, OTLP_ENDPOINT, TOKEN_FILE, Shipping


def _shipping(directory: Path, mesh: Mesh, environment: dict[str, str]) -> Shipping:
    paths = Paths(directory / "home", directory / "cache")
    for workload in mesh.services():
        paths.workload(workload.name).mkdir(parents=True, exist_ok=True)
    return Shipping(paths, mesh, Accounts(mesh, separate=os.geteuid() == 0), environment)


def test_without_an_endpoint_nothing_is_shipped(tmp_path: Path, mesh: Mesh) -> None:
    """Neither a section in the configuration nor a copy of a token."""
    found = _shipping(tmp_path, mesh, {TOKEN_FILE: "/nowhere"})
    found.copy()
    for workload in mesh.services():
        assert found.receiver(workload) is None
        assert not list((tmp_path / "home/run" / workload.name).iterdir())


@pytest.mark.parametrize(
    ("name", "format_name"), [(OTLP_ENDPOINT, "otlp"), (HTTP_ENDPOINT, "ndjson")]
)
def test_each_decision_point_gets_its_own_copies(
    tmp_path: Path, mesh: Mesh, name: str, format_name: str
) -> None:
    """With modes and owners as for its other secrets; the configuration names the copies."""
    token, authorities = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("s3cr3t\n")
    authorities.write_text("certificates\n")
    environment = {
        name: "https://logs.example/v1/logs",
        TOKEN_FILE: str(token),
        CA_FILE: str(authorities),
    }
    found = _shipping(tmp_path, mesh, environment)
    found.copy()
    for workload in mesh.services():
        receiver = found.receiver(workload)
        assert receiver is not None
        assert (receiver.endpoint, receiver.format) == (environment[name], format_name)
        assert receiver.service_name == f"{workload.name}-pdp"
        directory = tmp_path / "home/run" / workload.name
        copy = directory / str(receiver.token_file)
        assert copy.read_text() == "s3cr3t\n"
        assert stat.S_IMODE(copy.stat().st_mode) == 0o400
        assert (directory / str(receiver.ca_file)).read_text() == "certificates\n"


def test_one_workload_keeps_no_other_from_its_token(tmp_path: Path, mesh: Mesh) -> None:
    """A directory that it has put in the way is named, and everybody else is served."""
    token, authorities = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("s3cr3t")
    authorities.write_text("certificates")
    environment = {
        HTTP_ENDPOINT: "https://logs.example/",
        TOKEN_FILE: str(token),
        CA_FILE: str(authorities),
    }
    found = _shipping(tmp_path, mesh, environment)
    first, *others = [tmp_path / "home/run" / workload.name for workload in mesh.services()]
    (first / "shipping-token").mkdir()
    with pytest.raises(SetupError, match=f"{first}/shipping-token is a directory.*remove it"):
        found.copy()
    assert all((other / "shipping-token").read_text() == "s3cr3t" for other in others)
    assert all((one / "shipping-ca.pem").is_file() for one in (first, *others))


def test_a_renewed_token_is_handed_on(
    tmp_path: Path, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after it was missing for a while, which is said once."""
    monkeypatch.setattr(shipping, "_LOOK_SECONDS", 0.001)
    token = tmp_path / "token"
    token.write_text("first\n")
    found = _shipping(tmp_path, mesh, {HTTP_ENDPOINT: "http://[::1]:1/", TOKEN_FILE: str(token)})
    found.copy()
    copies = [tmp_path / "home/run" / w.name / "shipping-token" for w in mesh.services()]
    said: list[str] = []

    async def renew() -> None:
        following = asyncio.create_task(found.follow(said.append))
        token.unlink()
        await _until(lambda: bool(said))
        assert {copy.read_text() for copy in copies} == {"first\n"}
        token.write_text("second\n")
        await _until(lambda: {copy.read_text() for copy in copies} == {"second\n"})
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    asyncio.run(renew())
    assert len(said) == 1
    assert str(token) in said[0]


async def _until(is_so) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({OTLP_ENDPOINT: "https://a", HTTP_ENDPOINT: "https://b"}, "both set"),
        ({OTLP_ENDPOINT: "http://logs.example/v1/logs"}, "must be an https URL"),
        ({OTLP_ENDPOINT: "logs.example:4318"}, "must be an https URL"),
        ({HTTP_ENDPOINT: "https://user:s3cr3t@logs.example/"}, "without a name or password"),
        ({HTTP_ENDPOINT: "https://"}, "must be an https URL"),
        ({HTTP_ENDPOINT: "https://[::"}, "must be an https URL"),
        ({HTTP_ENDPOINT: "http://127.0.0.1.example/"}, "must be an https URL"),
        ({HTTP_ENDPOINT: "https://a", TOKEN_FILE: "token"}, "absolute path"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, mesh: Mesh, environment: dict[str, str], words: str
) -> None:
    """One sentence, without the secret that may stand in the value."""
    with pytest.raises(ConfigError, match=words) as refused:
        _shipping(tmp_path, mesh, environment)
    assert "s3cr3t" not in str(refused.value)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, mesh: Mesh) -> None:
    """At the start, not when the first decision waits."""
    token = tmp_path / "token"
    found = _shipping(tmp_path, mesh, {HTTP_ENDPOINT: "https://a", TOKEN_FILE: str(token)})
    with pytest.raises(ConfigError, match=f"{TOKEN_FILE}: {token} cannot be read"):
        found.copy()
    token.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        found.copy()


def test_the_supervisor_is_told_and_services_are_not() -> None:
    """The variables reach the one process that configures decision points."""
    assert passed_on({OTLP_ENDPOINT: "https://a", "OTHER": "x"}) == {OTLP_ENDPOINT: "https://a"}
