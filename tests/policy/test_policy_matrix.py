"""The access matrix of the checkout: it says what the policy answers, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from paymesh.mesh import Mesh, repository_root
from paymesh.policy import coverage
from paymesh.policy.environment import environment
from paymesh.policy.matrix import committed, source, subjects
from paymesh.policy.matrix.changes import compare
from paymesh.policy.matrix.committed import State
from paymesh.policy.matrix.evaluate import evaluate
from paymesh.policy.matrix.permissions import allowed

from . import matrices, table

TABLE = table.load()
RPCS = coverage.rpcs(repository_root() / "policies" / "descriptors.binpb")
# What takes a few seconds on two cores.
MOST_QUESTIONS = 50_000

# The classes that hold the messages of expected_decisions.yaml. What lies between two limits
# stands for its range, 12.50 EUR for 1 to 1000000.
CLASSES = {
    "empty": "empty",
    "unreadable": "unreadable",
    "payment": "amount 1 EUR",
    "largest_payment": "amount 1000000 EUR",
    "too_large_payment": "amount 1000001 EUR",
    "negative_payment": "amount -1 EUR",
    "payment_of_nothing": "amount of zero",
    "payment_in_gold": "amount in a currency without a limit",
    "whole_refund": "amount absent",
    "part_refund": "amount 1 EUR",
    "too_large_refund": "amount 1000001 EUR",
    "negative_refund": "amount -1 EUR",
    "acme_merchant": "legalEntity own, kind MERCHANT",
    "acme_clearing": "legalEntity own, kind CLEARING",
    "acme": "legalEntity own",
    "transfer": "legs 5000000 EUR",
    "too_large_credit": "legs 5000001 EUR",
    "too_large_debit": "legs -5000001 EUR",
    "transfer_in_gold": "legs in a currency without a limit",
}
# `other_operator` is an operator for whom the other tenant's message is another's.
USERS = {"visitor": "unknown", "other_operator": "operator"}


@pytest.fixture(scope="session")
def built_pdp() -> Path:
    """Our own program: the official one has no `decide`."""
    return matrices.own_pdp()


@pytest.fixture(scope="session")
def state(built_pdp: Path) -> State:
    """The checkout's whole matrix."""
    return committed.state(repository_root(), built_pdp)


def _class(case: table.Case) -> str:
    name = CLASSES[case.body]
    if case.body == "acme" and case.rpc.endswith("/OpenAccount"):
        name += ", kind absent"
    if case.user == "other_operator":
        name = name.replace("legalEntity own", "legalEntity another's")
    return name


def test_it_agrees_with_the_hand_written_table(state: State, mesh: Mesh) -> None:
    """Wherever expected_decisions.yaml speaks the matrix answers the same."""
    wrong, compared = {}, 0
    for case in TABLE.cases(mesh.workloads, RPCS):
        cell = state.matrix[case.caller, case.rpc, USERS.get(case.user, case.user)]
        classes = [one.name for one in cell.target.shape.classes]
        reason = cell.answers[classes.index(_class(case))].reason
        compared += 1
        if reason != case.expected:
            wrong[str(case)] = f"{reason}, expected {case.expected}"
    assert wrong == {}
    assert compared > 700


def test_it_covers_every_caller_rpc_and_kind_of_end_user(state: State, mesh: Mesh) -> None:
    """No workload, RPC of the descriptors or role of mesh.yaml is left out, nor any stranger."""
    callers = {caller for caller, _, _ in state.matrix}
    assert callers == {*mesh.workloads, *subjects.STRANGERS}
    assert {target for _, target, _ in state.matrix if target.startswith("/")} == set(RPCS)
    roles = {role for user in mesh.users.known.values() for role in user.roles}
    users = {user for _, target, user in state.matrix if target.startswith("/")}
    assert users == {*roles, "none", "unknown", "all", "expired", "forged"}


def test_it_stays_small(state: State) -> None:
    """Classes are few enough that the whole matrix is asked in seconds and read by people."""
    questions = sum(len(cell.answers) for cell in state.matrix.values())
    assert 20_000 < questions < MOST_QUESTIONS
    assert len(committed.files(state)[committed.MARKDOWN].splitlines()) < 400


def test_a_grant_for_another_caller_is_one_row_of_the_whole_matrix(
    state: State, checkout: Path, built_pdp: Path
) -> None:
    """Of tens of thousands of answers exactly those change that the edit is about."""
    old = "caller: statements\n    rpc: /paymesh.ledger.v1.LedgerService/ListEntries"
    matrices.edit(checkout, matrices.GRANTS, old, old.replace("statements", "bank-link"))
    head = evaluate(state.plan, source.read(checkout, "head"), built_pdp)
    found = matrices.brief(compare(state.plan, state.matrix, head))
    assert {row for row in found if row[0] != "reason"} == {
        ("new", "bank-link", "LedgerService/ListEntries", "none", "whatever it says"),
        ("removed", "statements", "LedgerService/ListEntries", "none", "whatever it says"),
    }
    assert {row[1:3] for row in found} == {
        ("bank-link", "LedgerService/ListEntries"),
        ("statements", "LedgerService/ListEntries"),
    }


def test_strangers_get_nowhere(state: State) -> None:
    """No caller without an identity of this mesh is allowed anything, nor any bad token."""
    through = list(allowed(state.matrix))
    assert {part.caller for part in through} & set(subjects.STRANGERS) == set()
    assert {user for part in through for user in part.users} & {"expired", "forged"} == set()


def test_all_roles_are_the_sum_of_the_roles(state: State) -> None:
    """Who has every role may do what each of them may, and the matrix need not say it twice."""
    assert "all" not in {user for part in allowed(state.matrix) for user in part.users}
    cell = state.matrix["gateway", matrices.REFUND, "all"]
    assert [a.is_allowed for a in cell.answers] == [
        a.is_allowed for a in state.matrix["gateway", matrices.REFUND, "operator"].answers
    ]


def test_actions_are_asked_with_every_relation_and_state(state: State) -> None:
    """The object decision's actions stand in it, with states from the protos."""
    cell = state.matrix["payments", "links.use", "customer"]
    through = {
        one.name
        for one, answer in zip(cell.target.shape.classes, cell.answers, strict=True)
        if answer.is_allowed
    }
    assert through == {"own, state SUCCESS", "own without a tenant, state SUCCESS"}
    unknown = state.matrix["gateway", "unknown.action", "operator"]
    assert {answer.reason for answer in unknown.answers} == {"POLICY_ERROR"}


def test_the_environment_is_the_one_that_bundles_carry(mesh: Mesh) -> None:
    """The lenient reader of a revision's mesh.yaml sees what the bundle's own sees."""
    found = source.read(repository_root(), "here").environment
    real = environment(mesh, found["users"]["jwks"])
    assert {**found, "workloads": sorted(found["workloads"])} == real


def test_the_committed_files_are_fresh(state: State) -> None:
    """docs/access-matrix.* say what the policy of this checkout answers."""
    assert committed.stale(repository_root(), committed.files(state)) == []


def test_staleness_is_caught_and_named(state: State, tmp_path: Path) -> None:
    """A committed file with one other line, or none at all, is named with that line."""
    expected = committed.files(state)
    assert committed.write(tmp_path, expected) == list(expected)
    assert committed.write(tmp_path, expected) == []
    assert committed.stale(tmp_path, expected) == []
    page = tmp_path / committed.MARKDOWN
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("| customer | amount 1 to 1000000", "| customer | amount 1 to 9"))
    (tmp_path / committed.JSON).unlink()
    first, second = committed.stale(tmp_path, expected)
    assert "docs/access-matrix.md is stale" in first
    assert re.search(r"line \d+: - \| gateway \| .* amount 1 to 9 ", first)
    assert second == "docs/access-matrix.json is missing"


def test_the_json_has_a_line_for_each_decision(state: State) -> None:
    """It parses, has every cell once, and a difference in one cell is one line."""
    text = committed.files(state)[committed.JSON]
    found = json.loads(text)
    keys = [(one["caller"], one["rpc"], one["as"]) for one in found["decisions"]]
    assert keys == sorted(state.matrix)
    lines = [line for line in text.splitlines() if line.startswith('    {"caller"')]
    assert len(lines) == len(state.matrix)
    assert len(text) < 1_000_000


def test_the_output_does_not_depend_on_the_run(state: State, built_pdp: Path) -> None:
    """The same files give the same bytes: no time, no key, no order of a set."""
    part = matrices.only(state.plan, [matrices.CREATE, "accounts.read"])
    again = evaluate(part, state.source, built_pdp)
    assert again == {key: state.matrix[key] for key in again}


def test_the_markdown_has_a_line_for_each_permission(state: State) -> None:
    """Reviewers see caller, RPC, end user, condition with its figures, and grant in one line."""
    text = committed.files(state)[committed.MARKDOWN]
    assert (
        "| gateway | `PaymentsService/CreatePayment` | customer | amount 1 to 1000000"
        " CHF/EUR/GBP/USD or 1 to 1500000 JPY or 1 to 3000000 KWD | `user-create-payment` |\n"
    ) in text
    assert "| `Health/Watch` | `RPC_CLOSED` | gateway, payments, ledger" in text
    assert text.startswith("<!-- Generated by `paymesh policy matrix --write`")
