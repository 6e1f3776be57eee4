"""The agent reports what it was answered, and tells a refusal from a failure."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from probe_callee import BUSY, BUSY_ONCE, ENDLESS, OK, REFUSING, SILENT, Callee, call, serving

from meshkit.testing.authority import TestAuthority
from paymesh.attack.probe.agent import calls, errands
from paymesh.attack.probe.agent.calls import Calls
from paymesh.attack.probe.agent.connections import Connector
from paymesh.attack.probe.agent.plan import Address, Errand, Plan, Tls
from paymesh.attack.probe.agent.work import carry_out
from paymesh.attack.probe.canaries.identities import verifies
from paymesh.mesh import repository_root


@pytest.fixture(name="socket_path")
def short_path(tmp_path: Path) -> str:
    """Of a Unix socket."""
    return str(tmp_path / "s")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many attempts as ever, but soon after each other."""
    pauses = (0.0, 0.01, 0.02)
    monkeypatch.setattr(calls, "PAUSES_SECONDS", pauses)
    monkeypatch.setattr(errands, "PAUSES_SECONDS", pauses)


def _ask(address: Address, *wanted, tls: Tls | None = None, headers=None, certificates=None):
    talk = Calls(Connector(certificates or {}), headers or {})
    results = talk.carry_out({"address": address, "tls": tls, "calls": list(wanted)})
    return [next(r for r in results if r["id"] == one["id"]) for one in wanted]


def test_each_call_has_its_own_answer(socket_path: str) -> None:
    """Many calls on one connection come back by name, with status and wanted message."""
    callee = Callee()
    wanted = [call(OK, keep=True), call(REFUSING), *(call(OK) for _ in range(200))]
    with serving(f"unix:{socket_path}", callee):
        kept, refused, *rest = _ask({"unix": socket_path}, *wanted)
    assert base64.b64decode(kept["data"]) == b"message"
    assert (refused["state"], refused["code"]) == ("answered", 7)
    assert {(one["state"], one["code"], one.get("data")) for one in rest} == {("answered", 0, None)}
    assert callee.calls.keys() == {one["id"] for one in wanted}


def test_headers_go_along_by_name(socket_path: str) -> None:
    """A call has the headers of the lists that it names, a trace of its own and a deadline."""
    callee = Callee()
    wanted = call(OK, headers=["token", "claim"])
    lists = {"token": [("authorization", "Bearer x")], "claim": [("x-claim", "y")]}
    with serving(f"unix:{socket_path}", callee):
        _ask({"unix": socket_path}, wanted, headers=lists)
    seen = callee.headers[wanted["id"]]
    assert (seen["authorization"], seen["x-claim"]) == ("Bearer x", "y")
    assert seen["traceparent"].split("-")[1] == wanted["id"]


def test_overload_is_tried_again_and_never_a_refusal(socket_path: str) -> None:
    """Who is busy once has answered in the end; who always is has not refused."""
    callee = Callee()
    with serving(f"unix:{socket_path}", callee):
        once, always = _ask({"unix": socket_path}, call(BUSY_ONCE), call(BUSY))
    assert (once["state"], once["code"], once["attempts"]) == ("answered", 0, 2)
    assert (always["state"], always["code"]) == ("failed", 14)
    assert callee.calls[always["id"]] == 3


def test_silence_is_a_failure(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call without an answer in time has failed; another on the same connection has not."""
    monkeypatch.setattr(calls, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(calls, "PAUSES_SECONDS", (0.0,))
    with serving(f"unix:{socket_path}", Callee()):
        silent, answered = _ask({"unix": socket_path}, call(SILENT), call(OK))
    assert silent["state"] == "failed"
    assert answered["state"] == "answered"


def test_a_stream_without_an_end_is_left_after_its_first_message(socket_path: str) -> None:
    """It counts as answered, and the connection is there for other calls."""
    with serving(f"unix:{socket_path}", Callee()):
        endless, answered = _ask({"unix": socket_path}, call(ENDLESS, first=True), call(OK))
    assert (endless["state"], endless["code"]) == ("answered", 0)
    assert answered["code"] == 0


def test_nobody_there_is_a_refusal(socket_path: str) -> None:
    """No socket, and a port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        (at_port,) = _ask({"tcp": ("127.0.0.1", port)}, call(OK))
    (at_socket,) = _ask({"unix": socket_path}, call(OK))
    assert (at_port["state"], at_port["detail"]) == ("refused", "ECONNREFUSED")
    assert (at_socket["state"], at_socket["detail"]) == ("refused", "ENOENT")


@contextlib.contextmanager
def _closing(times: int) -> Iterator[tuple[int, list[int]]]:
    """A port that closes so many connections at once, and then no longer listens."""
    accepted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def close_each() -> None:
            while len(accepted) < times:
                server.accept()[0].close()
                accepted.append(1)

        thread = threading.Thread(target=close_each)
        thread.start()
        yield server.getsockname()[1], accepted
        thread.join(5)


def test_a_closed_connection_is_a_refusal_only_when_seen_twice() -> None:
    """An overloaded peer closes too, so that once is not enough."""
    with _closing(2) as (port, accepted):
        (result,) = _ask({"tcp": ("127.0.0.1", port)}, call(OK))
    assert (result["state"], result["attempts"]) == ("refused", 2)
    assert len(accepted) == 2


def test_a_certificate_is_shown_where_one_is_asked_for() -> None:
    """TLS without the client's certificate is refused, and answered with it."""
    authority = TestAuthority()
    server = authority.issue("server")
    client = authority.issue("client")
    credentials = grpc.ssl_server_credentials(
        [(server.key_pem, server.chain_pem)], authority.root_pem, require_client_auth=True
    )
    held = {"mine": {"chain": client.chain_pem.decode(), "key": client.key_pem.decode()}}
    with serving("127.0.0.1:0", Callee(), credentials) as port:
        for identity, state in ((None, "refused"), ("mine", "answered")):
            tls: Tls = {"identity": identity, "server_name": "server", "alpn": ["h2"]}
            address: Address = {"tcp": ("127.0.0.1", port)}
            (result,) = _ask(address, call(OK), tls=tls, certificates=held)
            assert result["state"] == state, result


def _errand(errand: Errand):
    plan: Plan = {"certificates": {}, "headers": {}, "conversations": [], "errands": [errand]}
    (result,) = carry_out(plan)["results"]
    return result


def test_a_key_in_a_file_signs(tmp_path: Path) -> None:
    """Who can read the key has a signature that verifies; who cannot is refused."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    path.write_bytes(key.private_bytes(*kinds, serialization.NoEncryption()))
    (signature,) = _errand({"id": "a", "kind": "sign", "paths": [str(path)], "text": "nonce"})[
        "signatures"
    ]
    assert verifies(key.public_key(), signature, "nonce")
    assert not verifies(key.public_key(), signature, "another")
    other = ec.generate_private_key(ec.SECP256R1())
    assert not verifies(other.public_key(), signature, "nonce")
    missing = {"id": "b", "kind": "sign", "paths": [str(tmp_path / "none")], "text": "nonce"}
    assert _errand(missing)["state"] == "refused"


def test_the_program_reads_its_plan_and_writes_its_report(tmp_path: Path) -> None:
    """A run of its own reports all that it was told to do; a broken plan ends it in an error."""
    missing = str(tmp_path / "none")
    plan = {
        "certificates": {},
        "headers": {},
        "conversations": [{"address": {"unix": missing}, "tls": None, "calls": [call(OK)]}],
        "errands": [{"id": "e", "kind": "read", "paths": [missing]}],
    }
    command = [sys.executable, "-m", "paymesh.attack.probe.agent"]
    where = {"cwd": repository_root() / "deploy", "timeout": 30, "capture_output": True}
    done = subprocess.run(command, input=json.dumps(plan).encode(), check=False, **where)
    assert done.returncode == 0, done.stderr
    assert [one["state"] for one in json.loads(done.stdout)["results"]] == ["refused", "refused"]
    broken = subprocess.run(command, input=b'{"errands": []}', check=False, **where)
    assert broken.returncode != 0
