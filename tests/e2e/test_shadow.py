"""A candidate policy on live traffic: its differences are known, and nothing changes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from e2e.world import World
from paymesh.mesh import repository_root

_STRICT = "conditions: [user_is_known]\n    why: The service lists only"
_LIST = "/paymesh.payments.v1.PaymentsService/ListPayments"


def _shadow(*arguments: str) -> Any:
    """`paymesh policy shadow … -o json` as a user runs it."""
    code = "from paymesh.cli.main import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "policy", "shadow", *arguments, "-o", "json"],
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def _states() -> dict[str, dict[str, Any]]:
    return {state["workload"]: state for state in _shadow("status")["workloads"]}


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """The checkout's policies where auditors may create payments and customers not list them."""
    policies = tmp_path / "policies"
    shutil.copytree(
        repository_root() / "policies", policies, ignore=shutil.ignore_patterns("pdp", ".*")
    )
    grants = policies / "paymesh/grants/data.yaml"
    text = grants.read_text("utf-8")
    assert _STRICT in text
    text = text.replace(_STRICT, _STRICT.replace("user_is_known", "user_is_operator"), 1)
    grants.write_text(text, encoding="utf-8")
    conditions = policies / "paymesh/authz/conditions.rego"
    rules = conditions.read_text("utf-8")
    assert '{"customer"}' in rules
    conditions.write_text(rules.replace('{"customer"}', '{"customer", "auditor"}'), "utf-8")
    return policies


def _payment(world: World) -> dict[str, Any]:
    return {
        "idempotency_key": uuid.uuid4().hex,
        "amount": {"currency_code": "EUR", "minor_units": "100"},
        "payment_method_token": "tok_visa",
        "merchant_account_id": world.account("EUR"),
    }


def _records(world: World) -> dict[str, dict[str, Any]]:
    path = world.paths.workload("payments") / "decisions.jsonl"
    records = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return {record["decision_id"]: record for record in records}


def test_a_candidate_is_asked_on_live_traffic_and_enforced_by_nobody(
    world: World, candidate: Path
) -> None:
    """New permissions and new refusals are listed with ids of the real log, answers stay as
    they are, and off nothing more is listed.
    """
    on = _shadow("on", "--against", str(candidate), "--package", "authz")
    assert on["packages"] == ["paymesh.authz"]
    try:
        refused = world.as_user("audrey", "payments/CreatePayment", _payment(world))
        assert refused.reason == "USER_ROLE_MISSING"
        assert world.as_user("alice", "payments/ListPayments").ok
        world.until(lambda: len(_shadow("differences")) >= 2, "two differences are listed")
        # The counts are written now and then, not with each difference.
        world.until(lambda: _states()["payments"]["deny_to_allow"] == 1, "it is counted")
        opened, *rest = _shadow("differences")
        assert opened["kind"] == "deny_to_allow"
        assert opened["caller"] == "gateway"
        assert opened["rpc"].endswith("/CreatePayment")
        assert refused.decision_id in opened["examples"]
        assert [(c["kind"], c["rpc"]) for c in rest] == [("allow_to_deny", _LIST)]
        assert rest[0]["after"]["reason"] == "USER_ROLE_MISSING"
        for change in (opened, *rest):
            for example in change["examples"]:
                assert _records(world)[example]["reason"] == change["before"]["reason"]
        states = _states()
        assert {state["revision"] for state in states.values()} == {on["revision"]}
        assert states["payments"]["deny_to_allow"] == 1
        assert states["payments"]["errors"] == 0
    finally:
        off = _shadow("off")
    assert off["packages"] == []
    assert off["revision"] > on["revision"]
    listed = _shadow("differences")
    again = world.as_user("audrey", "payments/CreatePayment", _payment(world))
    assert again.reason == "USER_ROLE_MISSING"
    assert _shadow("differences") == listed
