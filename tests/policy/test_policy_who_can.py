"""`paymesh policy who-can` and `can`: answers of the rules, with the grants behind them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paymesh import binaries
from paymesh.cli import main
from paymesh.mesh import repository_root

from . import matrices
from .matrices import CREATE, ENTRIES, GRANTS


@pytest.fixture(autouse=True)
def _program(monkeypatch: pytest.MonkeyPatch) -> None:
    program = matrices.own_pdp()
    monkeypatch.setattr(binaries, "built", lambda *_: program)


def _ask(*arguments: str) -> Result:
    return CliRunner().invoke(main._app, ["policy", *arguments])


def _line(text: str) -> int:
    lines = (repository_root() / GRANTS).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


@pytest.mark.parametrize(
    "name", [CREATE, "payments/CreatePayment", "PaymentsService/CreatePayment"]
)
def test_an_rpc_is_answered_with_figures_and_place(name: str) -> None:
    """Caller, end user, condition with the limits, grant, why, and file and line of the grant."""
    done = _ask("who-can", name)
    assert done.exit_code == 0, done.output
    assert f"{CREATE}\n  ✔ gateway as customer\n" in done.stdout
    assert "amount 1 to 1000000 CHF/EUR/GBP/USD or 1 to 1500000 JPY" in done.stdout
    place = f"{GRANTS}:{_line('id: user-create-payment')}"
    assert f"grant  user-create-payment, {place}: Customers pay;" in done.stdout
    assert "✗ payments, ledger, bank-link, statements: RPC_NOT_GRANTED" in done.stdout


def test_json_has_the_same() -> None:
    """For programs: the same facts by name."""
    found = json.loads(_ask("who-can", "ledger/ListEntries", "-o", "json").stdout)
    assert [(one["caller"], one["as"], one["grant"]) for one in found["allowed"]] == [
        ("gateway", ["auditor"], "auditor-list-entries"),
        ("statements", ["none"], "statements-list-entries"),
    ]
    assert found["rpc"] == ENTRIES


def test_what_is_closed_says_why() -> None:
    """Nobody, and the line that closes it."""
    done = _ask("who-can", "/grpc.health.v1.Health/Watch")
    assert "nobody can" in done.stdout
    line = _line("rpc: /grpc.health.v1.Health/Watch")
    assert f"RPC_CLOSED by {GRANTS}:{line}: A stream without end" in done.stdout


def test_an_action_is_answered_too() -> None:
    """The object decision's actions are asked like RPCs."""
    done = _ask("who-can", "links.use")
    assert "payments as customer" in done.stdout
    assert "state SUCCESS" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["who-can", "payments/CreatPayment"], f"did you mean {CREATE}"),
        (["who-can", "CreatePayment"], f"did you mean {CREATE}"),
        (["who-can", "payments.refnd"], "did you mean payments.refund"),
        (["can", "gatway"], "did you mean gateway?"),
        (["can", "gateway", "--as", "operater"], "did you mean operator?"),
    ],
)
def test_a_mistyped_name_is_met_with_what_is_like_it(arguments: list[str], said: str) -> None:
    """Unknown names are errors that name the nearest."""
    done = _ask(*arguments)
    assert done.exit_code == 1
    assert said in str(done.exception)


def test_a_caller_is_answered_for_one_role() -> None:
    """What the gateway can do for an auditor, and nothing of what it can do for others."""
    found = json.loads(_ask("can", "gateway", "--as", "auditor", "-o", "json").stdout)
    grants = {one["grant"] for one in found["allowed"]}
    assert {"auditor-list-entries", "staff-get-balance", "gateway-health"} <= grants
    assert "user-create-payment" not in grants
    assert {one["caller"] for one in found["allowed"]} == {"gateway"}


def test_a_caller_without_grants_can_do_nothing() -> None:
    """It is said so, with the reasons."""
    done = _ask("can", "ledger")
    assert "ledger can do nothing: " in done.stdout
    assert "RPC_NOT_GRANTED" in done.stdout


def test_the_answer_is_the_rules_and_not_the_grants(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grant whose condition never holds lets nobody through, whatever the file says."""
    rule = 'condition["user_is_auditor"] := _role_reason({"auditor"})'
    never = 'condition["user_is_auditor"] := "USER_ROLE_MISSING"'
    matrices.edit(checkout, "policies/paymesh/authz/conditions.rego", rule, never)
    monkeypatch.setenv("PAYMESH_ROOT", str(checkout))
    found = json.loads(_ask("who-can", ENTRIES, "-o", "json").stdout)
    assert [one["caller"] for one in found["allowed"]] == ["statements"]
