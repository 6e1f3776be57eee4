"""Which records are wanted: exactly those, whether or not their bytes are looked at first."""

from __future__ import annotations

from pathlib import Path

import pytest

from paymesh.errors import ConfigError
from paymesh.policy.log import codes, moments
from paymesh.policy.log.selection import Selection, is_rpc
from unit.policy_log.policy_log_records import NOON, SECOND, line, read, write

_REFUND = "/paymesh.payments.v1.PaymentsService/RefundPayment"
_EXPIRED = {
    "scheme": "bearer",
    "signature": "valid",
    "claims": {"sub": "bob", "tenant": "globex", "roles": ["operator"]},
}
LOG = [
    {"decision_id": "refused00"},
    {
        "decision_id": "allowed00",
        "caller": "payments",
        "rpc": "/paymesh.ledger.v1.LedgerService/GetBalance",
        "user": None,
        "token": None,
        "allowed": True,
        "reason": "ALLOWED",
        "grant": "payments-get-balance",
        "revision": "1795256000001-ffffffffffff",
    },
    {"decision_id": "expired00", "user": None, "token": _EXPIRED, "reason": "USER_TOKEN_EXPIRED"},
    {
        "decision_id": "forged000",
        "user": None,
        "token": {**_EXPIRED, "signature": "invalid"},
        "reason": "USER_TOKEN_INVALID",
    },
    {
        "decision_id": "stranger0",
        "caller": "spiffe://other.example/ns/x/sa/gatewayé",
        "user": None,
        "token": None,
        "reason": "FOREIGN_TRUST_DOMAIN",
    },
    {
        "decision_id": "object000",
        "rpc": "payments.refund",
        "policy_path": "paymesh/objects/decision",
        "reason": "OBJECT_DENIED",
        "user": {"sub": "olivia", "tenant": "acme", "roles": ["operator"]},
        "token": None,
    },
]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), "refused00 allowed00 expired00 forged000 stranger0 object000"),
        (Selection(caller="payments"), "allowed00"),
        (Selection(caller="gate"), ""),
        (Selection(caller="spiffe://other.example/ns/x/sa/gatewayé"), "stranger0"),
        (Selection(rpc="GetBalance"), "allowed00"),
        (Selection(rpc="payments.refund"), "object000"),
        (Selection(user="alice"), "refused00"),
        (Selection(user="bob"), "expired00"),
        (Selection(tenant="globex"), "expired00"),
        (Selection(role="operator"), "expired00 object000"),
        (Selection(role="operator", tenant="acme"), "object000"),
        (Selection(role="oper"), ""),
        (Selection(reason="USER_ROLE_MISSING"), "refused00"),
        (Selection(grant="payments-get-balance"), "allowed00"),
        (Selection(allowed=True), "allowed00"),
        (Selection(allowed=False, caller="gateway", role="customer"), "refused00"),
        (Selection(revision="1795256000001-ffffffffffff"), "allowed00"),
        (Selection(revision="ffffffffffff"), "allowed00"),
        (Selection(revision="1795256000001"), "allowed00"),
        (Selection(revision="179525600000"), ""),
        (Selection(decision_id="forged000"), "forged000"),
        (Selection(decision_id="forge"), "forged000"),
    ],
    ids=str,
)
def test_exactly_the_wanted_records_are_read(
    tmp_path: Path, selection: Selection, expected: str
) -> None:
    """Every filter compares whole values; a forged token's claims are nobody's."""
    write(tmp_path, "ledger", [line(NOON + i * SECOND, **x) for i, x in enumerate(LOG)])
    found = [entry.record["decision_id"] for entry in read(tmp_path, selection)[0]]
    assert found == expected.split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selection, "needles", lambda _: ())
        again = [entry.record["decision_id"] for entry in read(tmp_path, selection)[0]]
    assert again == found


@pytest.mark.parametrize(
    ("wanted", "is_meant"),
    [
        (_REFUND, True),
        (_REFUND[1:], True),
        ("RefundPayment", True),
        ("PaymentsService/RefundPayment", True),
        ("v1.PaymentsService/RefundPayment", True),
        ("payments/RefundPayment", True),
        ("Refund", False),
        ("refundpayment", False),
        ("sService/RefundPayment", False),
        ("ledger/RefundPayment", False),
        ("PaymentsService", False),
        ("PaymentsService/", False),
        ("", False),
        ("/", False),
    ],
)
def test_an_rpc_is_meant_by_whole_parts_of_its_name(wanted: str, *, is_meant: bool) -> None:
    """A part of a word never matches."""
    assert is_rpc(_REFUND, wanted, "payments") is is_meant


@pytest.mark.parametrize("rpc", [None, "", "/", "//", "odd", 7, ["x"]])
def test_an_odd_rpc_matches_itself_at_most(rpc: object) -> None:
    """Whatever stands in a record, it is compared and not tripped over."""
    assert is_rpc(rpc, "GetPayment", "payments") is False


def test_a_time_is_how_long_ago_or_a_moment() -> None:
    """Both forms are exact to the nanosecond; anything else is a sentence."""
    assert moments.parse("10m", NOON) == NOON - 600 * SECOND
    assert moments.parse("1d2h3m4s", NOON) == NOON - (86400 + 7200 + 180 + 4) * SECOND
    assert moments.parse("2026-11-21T10:15:30.000000001Z", 0) == NOON + 1
    assert moments.parse("2026-11-21T12:15:30+02:00", 0) == NOON
    for wrong in (
        "",
        "10",
        "m",
        "10m ",
        "-1m",
        "2026-11-21",
        "10:15",
        "2026-02-30T00:00:00Z",
        "1µ",
    ):
        with pytest.raises(ConfigError, match="is no time"):
            moments.parse(wrong, NOON)
    for early in ("999999999d", "99999d" * 500, "0001-01-01T00:00:00Z"):
        with pytest.raises(ConfigError, match="is before 1970"):
            moments.parse(early, NOON)


@pytest.mark.parametrize("moment", [NOON, NOON + 1, NOON + 999_999_999, 0])
def test_a_moment_survives_being_written(moment: int) -> None:
    """What is shown is the moment to the millisecond."""
    assert moments.of(moments.text(moment)) == moment // 1_000_000 * 1_000_000


def test_an_unknown_word_is_answered_with_what_was_meant() -> None:
    """A typing error finds nothing silently nowhere: near names are named."""
    choices = ["USER_ROLE_MISSING", "AMOUNT_OVER_LIMIT", "ALLOWED"]
    codes.require("reason code", "ALLOWED", choices)
    for given, meant in (("AMOUNT_LIMIT", "AMOUNT_OVER_LIMIT"), ("role", "USER_ROLE_MISSING")):
        with pytest.raises(ConfigError, match=f"did you mean {meant}"):
            codes.require("reason code", given, choices)
    with pytest.raises(ConfigError, match="there are ALLOWED"):
        codes.require("reason code", "zzzz", choices)
