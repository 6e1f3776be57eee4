"""A call's decision, found in the log of the running mesh and explained."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from e2e.test_policy_edits import edited
from e2e.world import World
from paymesh.cli.main import _app
from paymesh.mesh import repository_root

_GRANTS = "policies/paymesh/grants/data.yaml"
_TOO_MUCH = {"currency_code": "EUR", "minor_units": "1000001"}


def _paymesh(*arguments: str) -> str:
    """What the command prints; it finds the mesh by the environment, as a user's would."""
    done = CliRunner().invoke(_app, ["policy", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def _explained(decision_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_paymesh("explain", decision_id, "-o", "json"))
    assert found["check"]["same"] is True, found["check"]
    assert found["policy"]["exact"] is True
    return found


def test_a_refused_callers_decision_id_is_explained(world: World) -> None:
    """The id that a refusal carries leads to the grant, the user's roles and what was missing."""
    reply = world.as_user("audrey", "payments/CreatePayment", {"amount": _TOO_MUCH})
    assert reply.reason == "USER_ROLE_MISSING"
    assert reply.decision_id
    found = _explained(reply.decision_id)
    (nearest,) = found["nearest"]
    assert nearest["id"] == "user-create-payment"
    assert {c["name"]: c["reason"] for c in nearest["conditions"]} == {
        "user_is_customer": "USER_ROLE_MISSING",
        "body_readable": "ALLOWED",
        "amount_within_user_limit": "AMOUNT_OVER_LIMIT",
    }
    assert found["remedies"] == [
        {
            "changes": ["the role customer", "a positive amount of at most 10,000.00 EUR"],
            "by": "user-create-payment",
        }
    ]
    text = _paymesh("explain", reply.decision_id[:8])
    assert "It was for audrey of tenant acme, with the role auditor." in text
    assert "The token was good" in text
    assert "10,000.01 EUR of at most 10,000.00 EUR" in text


def test_a_refusal_between_workloads_is_explained(world: World) -> None:
    """A caller without a grant is told of those who have one."""
    reply = world.straight("statements", "ledger", "ledger/PostTransfer")
    assert reply.decision_id
    found = _explained(reply.decision_id)
    assert (found["reason"], found["nearest"]) == ("RPC_NOT_GRANTED", [])
    assert [other["caller"] for other in found["others"]] == ["payments"]


def test_an_allowed_call_and_its_object_are_found_in_the_log_and_explained(world: World) -> None:
    """The newest records of a call: Envoy's question and the service's own about the object."""
    account = world.account("EUR")
    assert world.as_user("olivia", "ledger/GetBalance", {"account_id": account}).ok
    log = ("log", "--workload", "ledger", "--user", "olivia", "-n", "1", "-o", "json")
    call = json.loads(_paymesh(*log, "--rpc", "ledger/GetBalance"))
    found = _explained(call["decision_id"])
    assert found["grant"]["id"] == call["grant"] == "staff-get-balance"
    question = json.loads(_paymesh(*log, "--rpc", "accounts.read"))
    found = _explained(question["decision_id"])
    assert (found["kind"], found["allowed"]) == ("object", True)
    assert found["object"]["tenant"] == "acme"
    assert found["rule"][0] == "_allowed if {"


def test_the_log_of_the_running_mesh_is_read_without_complaint(world: World) -> None:
    """Every record of every workload parses, in order of time, and filters find what was done."""
    reply = world.as_user("audrey", "payments/CreatePayment", {})
    done = CliRunner().invoke(_app, ["policy", "log", "--since", "1h", "-o", "json"])
    assert done.stderr == ""
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["time"].rstrip("Z") for r in records] == sorted(
        r["time"].rstrip("Z") for r in records
    )
    (found,) = [r for r in records if r["decision_id"] == reply.decision_id]
    filters = ("--denied", "--caller", "gateway", "--role", "auditor", "--tenant", "acme")
    table = _paymesh("log", "-n", "0", *filters, "--revision", found["revision"])
    assert any(line.endswith(reply.decision_id[:8]) for line in table.splitlines())


def test_a_decision_is_explained_by_the_policy_that_made_it(world: World) -> None:
    """Refused while a grant asked for another role, explained after that was taken back: with
    the conditions and the line of then.
    """
    old = "conditions: [user_is_known]\n    why: The service lists only"
    new = "conditions: [user_is_auditor]\n    # a line more\n    why: The service lists only"
    with edited(_GRANTS, old, new):
        reply = world.until(
            lambda: (found := world.as_user("alice", "payments/ListPayments")).reason and found,
            "the edit was never enforced",
        )
        then = (repository_root() / _GRANTS).read_text("utf-8").splitlines()
    world.until(
        lambda: world.as_user("alice", "payments/ListPayments").ok, "it was never taken back"
    )
    assert reply.decision_id
    found = _explained(reply.decision_id)
    assert found["policy"]["source"] == "archive"
    (nearest,) = found["nearest"]
    (condition,) = nearest["conditions"]
    assert (condition["name"], condition["needs"]) == ("user_is_auditor", ["the role auditor"])
    assert "id: user-list-payments" in then[int(nearest["place"].rpartition(":")[2]) - 1]
