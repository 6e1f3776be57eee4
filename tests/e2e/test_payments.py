"""Money through the running mesh: charged once, posted once, seen only by whom it concerns."""

from __future__ import annotations

import concurrent.futures
import uuid
from typing import Any

import pytest

from e2e.world import World
from paymesh.runtime import control


def _payment(world: World, **changed: Any) -> dict[str, Any]:
    return {
        "idempotency_key": uuid.uuid4().hex,
        "amount": {"currency_code": "EUR", "minor_units": "1250"},
        "payment_method_token": "tok_visa",
        "merchant_account_id": world.account("EUR"),
        "description": "a test",
        **changed,
    }


def _balance(world: World) -> int:
    reply = world.as_user("audrey", "ledger/GetBalance", {"account_id": world.account("EUR")})
    assert reply.ok, reply
    return int(reply.body["balance"]["amount"].get("minor_units", 0))


def test_a_payment_reaches_the_merchants_account(world: World) -> None:
    """What is paid is what the merchant's balance grows by."""
    before = _balance(world)
    reply = world.as_user("alice", "payments/CreatePayment", _payment(world))
    assert reply.ok, reply
    assert reply.body["payment"]["state"] == "PAYMENT_STATE_SUCCEEDED"
    assert _balance(world) == before + 1250


def test_the_same_key_at_the_same_time_charges_once(world: World) -> None:
    """Twenty calls with one key at once make one payment; the others get it or are told to wait."""
    before = _balance(world)
    request = _payment(world, payment_method_token="tok_slow")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        replies = list(
            pool.map(lambda _: world.as_user("alice", "payments/CreatePayment", request), range(20))
        )
    paid = {reply.body["payment"]["payment_id"] for reply in replies if reply.ok}
    refused = [reply for reply in replies if not reply.ok]
    assert len(paid) == 1
    for reply in refused:
        assert (reply.code, reply.reason) == ("ABORTED", "IDEMPOTENCY_KEY_IN_USE")
        assert reply.retry_after_seconds is not None
    again = world.as_user("alice", "payments/CreatePayment", request)
    assert again.ok
    assert {again.body["payment"]["payment_id"]} == paid
    assert _balance(world) == before + 1250


@pytest.mark.parametrize("process", ["payments-app", "payments-envoy", "ledger-app", "postgres"])
def test_a_killed_process_loses_and_doubles_nothing(world: World, process: str) -> None:
    """Killed in the middle of a payment, whatever it is, the same key ends in one payment."""
    before = _balance(world)
    request = _payment(world, payment_method_token="tok_slow")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(world.as_user, "alice", "payments/CreatePayment", request)
        control.kill(world.paths, process)
        first.result()
    control.wait_ready(world.paths)
    reply = world.until_answered("alice", "payments/CreatePayment", request)
    assert reply.ok, reply
    assert reply.body["payment"]["state"] == "PAYMENT_STATE_SUCCEEDED"
    assert _balance(world) == before + 1250


def test_another_users_payment_does_not_exist(world: World) -> None:
    """A payment is NOT_FOUND to a customer of the same and of another tenant, and seen by staff."""
    reply = world.as_user("alice", "payments/CreatePayment", _payment(world))
    request = {"payment_id": reply.body["payment"]["payment_id"]}
    assert world.as_user("alice", "payments/GetPayment", request).ok
    assert world.as_user("audrey", "payments/GetPayment", request).ok
    for stranger in ("bob", "oscar"):
        refused = world.as_user(stranger, "payments/GetPayment", request)
        assert (refused.code, refused.reason) == ("NOT_FOUND", "PAYMENT_NOT_FOUND")


def test_a_link_pays_only_for_its_owner_and_only_when_verified(world: World) -> None:
    """A verified link pays for its owner; a pending one and another user's do not."""

    def link(kind: str, user: str = "alice") -> str:
        made = world.as_user(
            user,
            "bank-link/CreateLink",
            {
                "request_id": str(uuid.uuid4()),
                "institution_id": "ins_first_platypus",
                "public_token": f"public-sandbox-{kind}-{uuid.uuid4().hex[:12]}",
            },
        )
        assert made.ok, made
        return str(made.body["link"]["link_id"])

    def pay(user: str, link_id: str):
        request = _payment(world, bank_link_id=link_id)
        del request["payment_method_token"]
        return world.as_user(user, "payments/CreatePayment", request)

    verified = link("success")
    assert world.as_user("alice", "bank-link/VerifyLink", {"link_id": verified}).ok
    assert pay("alice", verified).ok
    pending = pay("alice", link("pending"))
    assert (pending.code, pending.reason) == ("NOT_FOUND", "LINK_NOT_FOUND")
    theirs = pay("alice", link("success", user="bob"))
    assert (theirs.code, theirs.reason) == ("NOT_FOUND", "LINK_NOT_FOUND")


def test_a_refund_never_exceeds_the_payment(world: World) -> None:
    """Ten refunds of a third at once give back three thirds at most."""
    before = _balance(world)
    reply = world.as_user("alice", "payments/CreatePayment", _payment(world))
    payment_id = reply.body["payment"]["payment_id"]

    def refund(number: int):
        return world.as_user(
            "olivia",
            "payments/RefundPayment",
            {
                "idempotency_key": f"{payment_id}-{number}",
                "payment_id": payment_id,
                "amount": {"currency_code": "EUR", "minor_units": "400"},
            },
        )

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(refund, range(10)))
    given_back = sum(reply.ok for reply in replies)
    assert 1 <= given_back <= 3
    for refused in (reply for reply in replies if not reply.ok):
        assert refused.reason in {"REFUND_EXCEEDS_PAYMENT", "IDEMPOTENCY_KEY_IN_USE"}, refused
    assert _balance(world) == before + 1250 - 400 * given_back
