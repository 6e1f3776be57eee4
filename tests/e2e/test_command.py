"""The `paymesh` command against the running mesh."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from e2e.world import World
from paymesh.runtime import exec_as


def _paymesh(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from paymesh.cli.main import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=dict(os.environ),
    )


@pytest.mark.usefixtures("world")
def test_a_call_prints_the_reply_as_json() -> None:
    """A call that is carried out prints its reply and exits with 0."""
    done = _paymesh("call", "payments/ListPayments", "{}", "--user", "alice")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "OK"


@pytest.mark.usefixtures("world")
def test_a_refused_call_prints_status_reason_and_decision() -> None:
    """A refused call prints status, reason and decision id, and exits with 1."""
    done = _paymesh("call", "ledger/ListEntries", "{}", "--user", "alice")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert (said["status"], said["reason"]) == ("PERMISSION_DENIED", "USER_ROLE_MISSING")
    assert said["decision_id"]


@pytest.mark.usefixtures("world")
def test_a_call_as_a_workload_comes_from_its_own_position() -> None:
    """The batch job may list balances, payments may not."""
    request = '{"legal_entity": "acme"}'
    assert _paymesh("call", "ledger/ListBalances", request, "--as", "statements").returncode == 0
    refused = _paymesh("call", "ledger/ListBalances", request, "--as", "payments")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["reason"] == "RPC_NOT_GRANTED"


@pytest.mark.usefixtures("world")
def test_a_wrong_argument_is_one_sentence() -> None:
    """A name that does not exist, or no JSON: one sentence that says what there is."""
    for arguments in (
        ("call", "nothing/There", "{}", "--user", "alice"),
        ("call", "ledger/Nothing", "{}", "--user", "alice"),
        ("call", "ledger/GetBalance", "{", "--user", "alice"),
        ("call", "ledger/GetBalance", "{}", "--user", "nobody"),
        ("call", "ledger/GetBalance", "{}", "--as", "nobody"),
        ("call", "ledger/GetBalance", "{}"),
        ("token", "nobody"),
    ):
        done = _paymesh(*arguments)
        assert done.returncode != 0, arguments
        assert done.stderr.startswith("error: "), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("world")
def test_check_finds_nothing_wrong_with_a_mesh_that_is_up() -> None:
    """`paymesh check` passes, and its JSON says so."""
    done = _paymesh("check", "-o", "json")
    said = json.loads(done.stdout)
    wrong = [found for found in said["findings"] if found["level"] == "problem"]
    assert (done.returncode, wrong) == (0, [])
    sections = {found["section"] for found in said["findings"]}
    assert {"binaries", "spire", "identities", "envoy", "policy", "sockets", "database"} <= sections


def test_statements_add_up(world: World) -> None:
    """The batch job, with its own SVID and no sidecar, reads entries that add up to balances."""
    account = world.account("EUR")
    done = exec_as(
        world.paths,
        world.mesh,
        "statements",
        ["-m", "statements", "--legal-entity", "acme", "-o", "json"],
        env={
            "SPIFFE_ENDPOINT_SOCKET": f"unix://{world.paths.workload('spire-agent')}/api.sock",
            "PAYMESH_LEDGER_ADDRESS": f"127.0.0.1:{world.mesh.workloads['ledger'].port}",
            "PAYMESH_TRUST_DOMAIN": world.mesh.trust_domain,
        },
        timeout_seconds=60,
    )
    assert done.returncode == 0, done.stderr
    assert account in done.stdout
