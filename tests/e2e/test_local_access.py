"""What another uid of the same machine can reach: nothing."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess

import pytest

from e2e.world import World
from paymesh.checks import access
from paymesh.policy.names import FILE_NAME

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can act under another workload's uid"
)

_SOCKETS = ["app.sock", "authz.sock", "outbound.sock", "admin.sock"]
_SERVICES = ["payments", "ledger", "bank-link"]


@pytest.mark.parametrize("owner", _SERVICES)
@pytest.mark.parametrize("sock", _SOCKETS)
def test_a_workloads_sockets_are_its_own(world: World, owner: str, sock: str) -> None:
    """No other workload's uid and no stranger can connect to a workload's sockets; its own can."""
    path = world.paths.workload(owner) / sock
    assert path.is_socket()
    assert access.may_write(path, world.mesh.uid(owner))
    strangers = [world.mesh.uid(name) for name in world.mesh.workloads if name != owner]
    for uid in (*strangers, access.NOBODY):
        assert not access.may_write(path, uid), uid


@pytest.mark.parametrize("owner", _SERVICES)
@pytest.mark.parametrize("secret", ["dsn", "pdp-token", "bundle-token", "decisions.jsonl"])
def test_a_workloads_files_are_its_own(world: World, owner: str, secret: str) -> None:
    """No other workload's uid and no stranger can read a workload's secrets and log."""
    path = world.paths.workload(owner) / secret
    assert access.may_read(path, world.mesh.uid(owner))
    strangers = [world.mesh.uid(name) for name in world.mesh.workloads if name != owner]
    for uid in (*strangers, access.NOBODY):
        assert not access.may_read(path, uid), uid


def test_a_bundle_is_had_from_its_server_alone(world: World) -> None:
    """Which asks for a token: the file itself is read by the server and no other uid."""
    path = world.paths.bundles / FILE_NAME
    assert access.may_read(path, world.mesh.uid("bundle-server"))
    assert not access.may_write(path, world.mesh.uid("bundle-server"))
    for uid in (*(world.mesh.uid(name) for name in world.mesh.workloads), access.NOBODY):
        assert not access.may_read(path, uid), uid


@pytest.mark.parametrize("callee", _SERVICES)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/data/paymesh/objects/decision"),
        ("GET", "/v1/data"),
        ("GET", "/v1/policies"),
        ("PUT", "/v1/policies/x"),
        ("POST", "/v1/query"),
        ("GET", "/metrics"),
        ("PUT", "/v1/data/paymesh/grants"),
        ("POST", "/"),
    ],
)
def test_a_pdps_data_api_is_closed_without_its_token(
    world: World, callee: str, method: str, path: str
) -> None:
    """Without its token, or with it beyond the one query, the answer is a refusal."""
    own = (world.paths.workload(callee) / "pdp-token").read_text().strip()
    other = next(name for name in _SERVICES if name != callee)
    others = (world.paths.workload(other) / "pdp-token").read_text().strip()
    tokens = [None, "", "x", others]
    if path != "/v1/data/paymesh/objects/decision":
        tokens.append(own)
    for token in tokens:
        connection = http.client.HTTPConnection(
            world.mesh.address, world.mesh.workloads[callee].pdp_port, timeout=5
        )
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        connection.request(method, path, body=b'{"input":{}}', headers=headers)
        assert connection.getresponse().status in {401, 403, 404, 405}, (path, token)
        connection.close()


def test_postgres_has_no_tcp_port_and_opens_its_socket_to_nobody_else(world: World) -> None:
    """Only the database's clients can reach its socket; a workload without one cannot."""
    path = world.paths.workload("postgres") / ".s.PGSQL.5432"
    assert path.is_socket()
    for uid in (world.mesh.uid("gateway"), world.mesh.uid("statements"), access.NOBODY):
        assert not access.may_write(path, uid)
    with socket.socket() as tcp:
        assert tcp.connect_ex(("127.0.0.1", 5432)) != 0 or _foreign_postgres()


def _foreign_postgres() -> bool:
    """Whether the machine runs a PostgreSQL of its own, which is none of ours."""
    return subprocess.run(["/usr/bin/pgrep", "-x", "postgres"], check=False).returncode == 0
