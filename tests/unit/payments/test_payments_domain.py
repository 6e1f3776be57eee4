"""The states of a payment and a refund, by exhaustion and by Hypothesis."""

from __future__ import annotations

import ast
import datetime as dt
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import payments.domain
import payments.idempotency
from meshkit.money import Money
from payments.domain import (
    SENDING_WINDOW,
    CurrencyDiffersError,
    IllegalMoveError,
    NotRefundableError,
    Payment,
    Refund,
    RefundStage,
    RefundTooLargeError,
    Source,
    SourceKind,
    Stage,
    State,
    may_send,
)

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
TRANSFER = uuid.uuid4()

MOVES: dict[str, Callable[[Payment], Payment]] = {
    "charged": lambda p: p.charged("ch_1"),
    "declined": lambda p: p.declined("card_declined"),
    "posted": lambda p: p.posted(TRANSFER),
}


def _payment(minor_units: int = 1000) -> Payment:
    return Payment(
        payment_id=uuid.uuid4(),
        tenant="acme",
        created_by="alice",
        amount=Money.of("EUR", minor_units),
        merchant_account_id=uuid.uuid4(),
        clearing_account_id=uuid.uuid4(),
        description="",
        source=Source(SourceKind.CARD_TOKEN, "tok_visa"),
        create_time=NOW,
    )


PATHS = {
    Stage.CHARGING: [],
    Stage.CHARGED: ["charged"],
    Stage.SUCCEEDED: ["charged", "posted"],
    Stage.FAILED: ["declined"],
}
LEGAL = {
    (Stage.CHARGING, "charged"): Stage.CHARGED,
    (Stage.CHARGING, "declined"): Stage.FAILED,
    (Stage.CHARGED, "posted"): Stage.SUCCEEDED,
    # Made again: no effect.
    (Stage.CHARGED, "charged"): Stage.CHARGED,
    (Stage.SUCCEEDED, "charged"): Stage.SUCCEEDED,
    (Stage.SUCCEEDED, "posted"): Stage.SUCCEEDED,
    (Stage.FAILED, "declined"): Stage.FAILED,
}


def _at(stage: Stage) -> Payment:
    payment = _payment()
    for move in PATHS[stage]:
        payment = MOVES[move](payment)
    assert payment.stage is stage
    return payment


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("stage", list(Stage))
def test_every_move_from_every_stage(stage: Stage, move: str) -> None:
    """A move leads where the table says, and is refused where the table says nothing."""
    before = _at(stage)
    if (stage, move) not in LEGAL:
        with pytest.raises(IllegalMoveError):
            MOVES[move](before)
        return
    after = MOVES[move](before)
    assert after.stage is LEGAL[stage, move]
    assert MOVES[move](after) == after


@pytest.mark.parametrize("stage", [Stage.CHARGED, Stage.SUCCEEDED])
def test_second_charge_with_another_id_is_refused(stage: Stage) -> None:
    """Two charges of one payment would be a fault, and are not taken for one."""
    with pytest.raises(IllegalMoveError):
        _at(stage).charged("ch_2")


def test_source_is_gone_once_the_charge_is_decided() -> None:
    """A token is kept only as long as it may have to be sent again, and its repr hides it."""
    assert _at(Stage.CHARGING).source is not None
    assert "tok_visa" not in repr(_at(Stage.CHARGING))
    assert _at(Stage.CHARGED).source is None
    assert _at(Stage.FAILED).source is None


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        (Stage.CHARGING, State.PENDING),
        (Stage.CHARGED, State.PENDING),
        (Stage.SUCCEEDED, State.SUCCEEDED),
        (Stage.FAILED, State.FAILED),
    ],
)
def test_state_of_each_stage(stage: Stage, state: State) -> None:
    """A client is told PENDING until charge and posting are both certain."""
    assert _at(stage).state is state


@pytest.mark.parametrize("stage", [Stage.CHARGING, Stage.CHARGED, Stage.FAILED])
def test_only_a_payment_that_succeeded_is_refundable(stage: Stage) -> None:
    """Nothing is set aside of money that has not arrived."""
    with pytest.raises(NotRefundableError):
        _at(stage).set_aside(None)


def test_refund_in_another_currency_is_refused() -> None:
    """A refund has the payment's currency."""
    with pytest.raises(CurrencyDiffersError):
        _at(Stage.SUCCEEDED).set_aside(Money.of("USD", 1))


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 700)), st.booleans()), max_size=12))
def test_refunds_never_add_up_to_more_than_the_payment(
    wanted: list[tuple[int | None, bool]],
) -> None:
    """Whatever is asked for and whichever succeed: 0 ≤ refunded ≤ set aside ≤ amount."""
    payment = _at(Stage.SUCCEEDED)
    given_back = 0
    for minor_units, succeeds in wanted:
        asked = None if minor_units is None else Money.of("EUR", minor_units)
        try:
            payment, amount = payment.set_aside(asked)
        except RefundTooLargeError:
            left = 1000 - payment.set_aside_minor_units
            assert left == 0 if minor_units is None else minor_units > left
            continue
        except NotRefundableError:
            assert given_back == 1000
            continue
        refund = Refund(uuid.uuid4(), payment.payment_id, amount, NOW)
        if succeeds:
            payment, refund = refund.returned("re_1").posted(payment, TRANSFER)
            given_back += amount.minor_units
            assert refund.stage is RefundStage.SUCCEEDED
        else:
            payment, refund = refund.rejected(payment, "no")
            assert refund.stage is RefundStage.FAILED
        assert payment.refunded_minor_units == given_back == payment.set_aside_minor_units
        assert given_back <= 1000
    expected = {0: State.SUCCEEDED, 1000: State.REFUNDED}
    assert payment.state is expected.get(given_back, State.PARTIALLY_REFUNDED)


def test_refund_moves_only_forward() -> None:
    """A refund is posted after it was returned, and rejected only before."""
    payment, amount = _at(Stage.SUCCEEDED).set_aside(None)
    refund = Refund(uuid.uuid4(), payment.payment_id, amount, NOW)
    with pytest.raises(IllegalMoveError):
        refund.posted(payment, TRANSFER)
    returned = refund.returned("re_1")
    assert returned.returned("re_1") == returned
    with pytest.raises(IllegalMoveError):
        returned.returned("re_2")
    with pytest.raises(IllegalMoveError):
        returned.rejected(payment, "no")


def test_giving_back_more_than_was_set_aside_is_refused() -> None:
    """A fault in the order of moves stops before the numbers are wrong."""
    payment = _at(Stage.SUCCEEDED)
    with pytest.raises(IllegalMoveError):
        payment.given_back(Money.of("EUR", 1))
    with pytest.raises(IllegalMoveError):
        payment.kept(Money.of("EUR", 1))


def test_sending_window_is_below_the_providers_day() -> None:
    """A request is sent again for less than the 24 hours that a key is kept."""
    assert dt.timedelta(hours=24) > SENDING_WINDOW
    assert may_send(NOW, NOW + SENDING_WINDOW - dt.timedelta(seconds=1))
    assert not may_send(NOW, NOW + SENDING_WINDOW)


@pytest.mark.parametrize("module", [payments.domain, payments.idempotency])
def test_rules_import_neither_grpc_nor_a_driver(module: object) -> None:
    """The rules can be read, and tested, without a network or a database."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")  # type: ignore[attr-defined]
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert not imported & {"grpc", "psycopg", "psycopg_pool", "httpx", "google", "paymesh"}
