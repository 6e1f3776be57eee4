"""Every decision is in the log before its answer is, and no secret is in any log."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import jwt

from e2e.world import World
from paymesh.runtime import status

_CARD = "4242424242424242"


def _records(world: World, workload: str) -> list[dict]:
    path = world.paths.workload(workload) / "decisions.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def test_a_refused_caller_is_told_the_id_of_a_decision_that_is_on_record(world: World) -> None:
    """The decision id of a refusal stands in the callee's log, with caller, user and reason."""
    reply = world.as_user("audrey", "payments/CreatePayment", {})
    assert reply.reason == "USER_ROLE_MISSING"
    (record,) = [
        found for found in _records(world, "payments") if found["decision_id"] == reply.decision_id
    ]
    assert record["allowed"] is False
    assert record["reason"] == "USER_ROLE_MISSING"
    assert record["caller"] == "gateway"
    assert record["user"]["sub"] == "audrey"
    assert record["rpc"] == "/paymesh.payments.v1.PaymentsService/CreatePayment"
    assert re.fullmatch(r"\d{13}-[0-9a-f]{12}", record["revision"])


def test_an_allowed_call_is_on_record_with_its_grant(world: World) -> None:
    """A call that was carried out has a record that names the grant."""
    before = len(_records(world, "payments"))
    assert world.as_user("alice", "payments/ListPayments").ok
    added = _records(world, "payments")[before:]
    assert "user-list-payments" in {record.get("grant") for record in added}


def test_no_log_holds_a_token_a_key_or_a_card_number(world: World) -> None:
    """After calls with tokens, keys and card numbers in them, no log of any process has one."""
    account = world.account("EUR")
    for token, description in (
        (_CARD, "x"),
        ("tok_visa", _CARD),
        ("tok_visa", "4242 4242-4242 4242"),
    ):
        reply = world.as_user(
            "alice",
            "payments/CreatePayment",
            {
                "idempotency_key": uuid.uuid4().hex,
                "amount": {"currency_code": "EUR", "minor_units": "100"},
                "payment_method_token": token,
                "merchant_account_id": account,
                "description": description,
            },
        )
        assert reply.reason == "CARD_NUMBER_REFUSED"
    secrets = {
        path.read_text("utf-8").strip()
        for path in world.paths.secrets.rglob("*")
        if path.is_file() and path.suffix != ".crt" and path.stat().st_size < 4096
    }
    ((_, bearer),) = world.token("alice")
    assert jwt.decode(bearer.removeprefix("Bearer "), options={"verify_signature": False})
    world.as_user("alice", "payments/ListPayments")
    logs = [*world.paths.logs.glob("*.log"), *world.paths.run.glob("*/decisions.jsonl")]
    assert logs
    for log in logs:
        text = log.read_text("utf-8", errors="replace")
        digits = re.sub(r"[ -]", "", text)
        assert _CARD not in digits, log
        assert not re.search(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}", text), log
        assert "PRIVATE KEY" not in text, log
        for secret in secrets:
            assert secret not in text, log


def test_no_process_has_a_secret_among_its_arguments(world: World) -> None:
    """No secret of the mesh stands in an argument list or a process's environment."""
    secrets = {
        path.read_text("utf-8").strip()
        for path in world.paths.secrets.glob("*")
        if path.is_file() and path.stat().st_size < 200
    }
    assert secrets
    found = status.read(world.paths)
    for process in found.processes:
        for kind in ("cmdline", "environ"):
            text = Path(f"/proc/{process.pid}/{kind}").read_bytes().decode(errors="replace")
            for secret in secrets:
                assert secret not in text, (process.name, kind)
