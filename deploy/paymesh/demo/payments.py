"""The payments of `deploy/demo/payments.jsonl`, each with what is to become of it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from paymesh.calls import Reply
from paymesh.demo.session import TENANT, Session, outcome
from paymesh.mesh import repository_root

_STEP = "payments"


def open_accounts(session: Session) -> dict[str, str]:
    """A merchant account for each currency of the file that exists; currency → account id."""
    accounts: dict[str, str] = {}
    for currency in ("EUR", "USD", "JPY", "KWD", "GBP"):
        reply = session.call(
            "olivia",
            "ledger/OpenAccount",
            {
                "request_id": session.request_id(f"merchant/{currency}"),
                "legal_entity": TENANT,
                "kind": "ACCOUNT_KIND_MERCHANT",
                "currency_code": currency,
            },
        )
        session.report(
            "accounts", f"operator opens {currency} account", outcome(reply), expected=reply.ok
        )
        if reply.ok:
            accounts[currency] = reply.body["account"]["account_id"]
    return accounts


def send_all(session: Session, accounts: dict[str, str]) -> dict[str, int]:
    """Sends every line of the file; returns what must have been added, by currency."""
    path = repository_root() / "deploy" / "demo" / "payments.jsonl"
    paid: dict[str, int] = defaultdict(int)
    first: dict[str, str] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        reply = session.call(
            line.get("user", "alice"), "payments/CreatePayment", _request(session, accounts, line)
        )
        payment = reply.body["payment"] if reply.ok else {}
        expected = _as_expected(reply, payment, line["expect"], first)
        if reply.ok and line["key"] not in first:
            first[line["key"]] = payment["payment_id"]
            paid[line["currency"]] += line["minor_units"]
        shown = payment.get("state", "").removeprefix("PAYMENT_STATE_") or outcome(reply)
        what = f"{line['minor_units']:>9} {line['currency']}  {line['note']}"
        session.report(_STEP, what, shown, expected=expected)
    for currency, minor_units in _refund(session, first).items():
        paid[currency] -= minor_units
    return dict(paid)


def _request(session: Session, accounts: dict[str, str], line: dict[str, Any]) -> dict[str, Any]:
    account = accounts.get(line.get("merchant", line["currency"])) or accounts["EUR"]
    return {
        "idempotency_key": f"demo-{session.run_id}-{line['key']}",
        "amount": {"currency_code": line["currency"], "minor_units": str(line["minor_units"])},
        "payment_method_token": line["token"],
        "merchant_account_id": account,
        "description": line["description"],
    }


def _as_expected(
    reply: Reply, payment: dict[str, Any], expect: dict[str, str], first: dict[str, str]
) -> bool:
    if reply.code != expect["status"]:
        return False
    if not reply.ok:
        return reply.reason == expect["reason"]
    same_as = expect.get("same_as")
    same = same_as is None or payment["payment_id"] == first[same_as]
    return same and bool(payment["state"] == expect["state"])


def _refund(session: Session, first: dict[str, str]) -> dict[str, int]:
    """Part of one payment given back, twice with one key; and more than is left, refused."""
    request = {
        "idempotency_key": f"demo-{session.run_id}-refund",
        "payment_id": first.get("004", session.request_id("none")),
        "amount": {"currency_code": "EUR", "minor_units": "15920"},
    }
    for what in ("one night of the hotel given back", "the same again: the first answer"):
        reply = session.call("olivia", "payments/RefundPayment", request)
        refunded = reply.body["payment"]["refunded_amount"]["minor_units"] if reply.ok else None
        session.report("refunds", what, outcome(reply), expected=refunded == "15920")
    reply = session.call(
        "olivia",
        "payments/RefundPayment",
        {
            **request,
            "idempotency_key": f"demo-{session.run_id}-refund-2",
            "amount": {"currency_code": "EUR", "minor_units": "15921"},
        },
    )
    session.report(
        "refunds",
        "a cent more than is left",
        outcome(reply),
        expected=reply.reason == "REFUND_EXCEEDS_PAYMENT",
    )
    reply = session.call("alice", "payments/RefundPayment", request)
    session.report(
        "refunds",
        "a customer refunds herself",
        outcome(reply),
        expected=reply.reason == "USER_ROLE_MISSING",
    )
    return {"EUR": 15920}
