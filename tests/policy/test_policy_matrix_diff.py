"""The effect of an edit: exactly its new rows, and a change that approves itself is none."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paymesh import binaries
from paymesh.cli import main
from paymesh.policy.matrix import source
from paymesh.policy.matrix.changes import Kind, grouped

from . import matrices
from .matrices import BALANCE, CREATE, ENTRIES, GRANTS, REFUND, TRANSFER, edit

CONDITIONS = "policies/paymesh/authz/conditions.rego"
APPROVALS = "policies/approvals.yaml"
ENTRIES_GRANT = """\
  - id: auditor-list-entries
    caller: gateway
    rpc: /paymesh.ledger.v1.LedgerService/ListEntries
    conditions: [user_is_auditor]
"""
LINE = "  - {{change: {change}, caller: gateway, rpc: {rpc}, as: {role}, why: They ask, by: Ada}}\n"


@pytest.fixture(scope="module")
def own_pdp() -> Path:
    """Our own program: the official one has no `decide`."""
    return matrices.own_pdp()


def _changed(
    checkout: Path, pdp: Path, edits: Iterable[tuple[str, str, str]], *targets: str
) -> set[tuple[str, str, str, str, str]]:
    base = source.read(checkout, "base")
    for one in edits:
        edit(checkout, *one)
    return matrices.brief(matrices.changes(base, checkout, pdp, *targets))


def test_a_widened_condition_is_its_rows(checkout: Path, own_pdp: Path) -> None:
    """Auditors' entries for customers too: one new permission, and nothing else anywhere near."""
    found = _changed(
        checkout,
        own_pdp,
        [(GRANTS, ENTRIES_GRANT, ENTRIES_GRANT.replace("user_is_auditor", "user_is_known"))],
        *(ENTRIES, BALANCE),
    )
    assert found == {
        ("new", "gateway", "LedgerService/ListEntries", "customer", "whatever it says"),
        ("new", "gateway", "LedgerService/ListEntries", "operator", "whatever it says"),
    }


def test_a_raised_limit_is_the_amounts_between(checkout: Path, own_pdp: Path) -> None:
    """Only customers and only that currency, from one over the old limit to the new one."""
    found = _changed(
        checkout,
        own_pdp,
        [(GRANTS, "user_payment: {EUR: 1000000", "user_payment: {EUR: 1200000")],
        *(CREATE, REFUND),
    )
    assert found == {
        (
            *("new", "gateway", "PaymentsService/CreatePayment", "customer"),
            "amount 1000001 to 1200000 EUR",
        ),
    }


def test_a_lowered_limit_only_takes_away(checkout: Path, own_pdp: Path) -> None:
    """Credits and debits above it are refused from now on, for each kind of end user."""
    found = _changed(checkout, own_pdp, [(GRANTS, "KWD: 15000000", "KWD: 14000000")], TRANSFER)
    when = "legs -15000000 to -14000001 KWD or 14000001 to 15000000 KWD"
    removed = {row for row in found if row[0] == "removed"}
    users = ("none", "auditor", "customer", "operator", "unknown")
    assert removed == {
        ("removed", "payments", "LedgerService/PostTransfer", user, when) for user in users
    }
    assert {row[0] for row in found} == {"removed", "reason"}


def test_a_role_that_only_the_rules_know_is_seen(checkout: Path, own_pdp: Path) -> None:
    """A role that mesh.yaml does not have is asked for all the same, by its name."""
    found = _changed(
        checkout,
        own_pdp,
        [(CONDITIONS, '_role_reason({"auditor"})', '_role_reason({"auditor", "regulator"})')],
        ENTRIES,
    )
    assert found == {
        ("new", "gateway", "LedgerService/ListEntries", "regulator", "whatever it says")
    }


def test_a_hidden_role_is_seen_as_unknown(checkout: Path, own_pdp: Path) -> None:
    """A role that is compared outside any set is among the words that the unknown user has."""
    hidden = 'condition["user_is_auditor"] := "ALLOWED" if "backdoor" in user.roles\n'
    rules = checkout / CONDITIONS
    old = 'condition["user_is_auditor"] := _role_reason({"auditor"})\n'
    found = _changed(
        checkout,
        own_pdp,
        [(CONDITIONS, old, f'{hidden[:-1]} else := _role_reason({{"auditor"}})\n')],
        ENTRIES,
    )
    assert "backdoor" in rules.read_text(encoding="utf-8")
    assert found == {("new", "gateway", "LedgerService/ListEntries", "unknown", "whatever it says")}


@pytest.mark.parametrize(
    ("old", "new", "stranger"),
    [
        (
            "trust_domain == data.paymesh.environment.trust_domain",
            "startswith(trust_domain, data.paymesh.environment.trust_domain)",
            "foreign trust domain",
        ),
        (
            "namespace == data.paymesh.environment.namespace",
            "startswith(namespace, data.paymesh.environment.namespace)",
            "foreign namespace",
        ),
    ],
)
def test_a_careless_comparison_lets_a_stranger_in(
    checkout: Path, own_pdp: Path, old: str, new: str, stranger: str
) -> None:
    """Strangers resemble a caller of the RPC so closely that a prefix is enough to let them in."""
    identity = "policies/paymesh/authz/identity.rego"
    found = _changed(checkout, own_pdp, [(identity, old, new)], TRANSFER)
    through = {caller for kind, caller, *_ in found if kind == "new"}
    assert through == {stranger}


def test_a_compressed_message_that_gets_through_is_seen(checkout: Path, own_pdp: Path) -> None:
    """What the policy cannot read as the service will is a class of its own, for every RPC."""
    line = '\tobject.get(_http.headers, "grpc-encoding", "identity") == "identity"\n'
    grants = "policies/paymesh/authz/grants.rego"
    found = _changed(checkout, own_pdp, [(grants, line, "")], "not a plain gRPC call")
    new = {(caller, user): when for kind, caller, _, user, when in found if kind == "new"}
    assert new["statements", "none"] == (
        "LedgerService/GetBalance or LedgerService/ListBalances or LedgerService/ListEntries,"
        " and compressed"
    )
    assert not {caller for caller, _ in new} - {"gateway", "payments", "statements"}


def test_what_only_several_roles_open_stands_apart(checkout: Path, own_pdp: Path) -> None:
    """A rule that wants two roles at once is new to the user with all of them, and to no other."""
    rule = 'condition["user_is_auditor"] := _role_reason({"auditor"})\n'
    nobody = 'condition["user_is_auditor"] := "USER_ROLE_MISSING"\n'
    two = (
        'condition["user_is_auditor"] := "ALLOWED" if {\n\t"customer" in user.roles\n'
        '\t"operator" in user.roles\n} else := "USER_ROLE_MISSING"\n'
    )
    edit(checkout, CONDITIONS, rule, nobody)
    found = _changed(checkout, own_pdp, [(CONDITIONS, nobody, two)], ENTRIES)
    assert {row for row in found if row[0] != "reason"} == {
        ("new", "gateway", "LedgerService/ListEntries", "all", "whatever it says")
    }


def test_an_object_rule_without_its_tenant_is_seen(checkout: Path, own_pdp: Path) -> None:
    """The second decision is compared like the first."""
    rule = 'input.action == "payments.refund"\n\t_caller == "gateway"\n\t_user_has({"operator"})\n'
    found = _changed(
        checkout,
        own_pdp,
        [("policies/paymesh/objects/decision.rego", f"{rule}\t_same_tenant\n", rule)],
        *("payments.refund", "payments.read"),
    )
    others = (
        "own without a tenant or another tenant's or another tenant's of the same owner or nobody's"
    )
    assert found == {
        ("new", "gateway", "payments.refund", "operator", others),
    }


def test_a_new_workload_and_a_lost_one_compare(checkout: Path, own_pdp: Path) -> None:
    """Callers are those of both states; each state knows its own only."""
    base = source.read(checkout, "base")
    edit(checkout, "deploy/mesh.yaml", "  statements:\n", "  reports:\n")
    edit(
        checkout,
        GRANTS,
        "caller: statements\n    rpc: /paymesh.ledger.v1.LedgerService/ListEntries",
        "caller: reports\n    rpc: /paymesh.ledger.v1.LedgerService/ListEntries",
    )
    found = matrices.brief(matrices.changes(base, checkout, own_pdp, ENTRIES))
    assert {row for row in found if row[0] != "reason"} == {
        ("new", "reports", "LedgerService/ListEntries", "none", "whatever it says"),
        ("removed", "statements", "LedgerService/ListEntries", "none", "whatever it says"),
    }


def test_a_grant_for_an_rpc_that_no_proto_has_is_seen(checkout: Path, own_pdp: Path) -> None:
    """What the descriptors lack is asked too when a grant names it."""
    base = source.read(checkout, "base")
    other = "/paymesh.other.v1.OtherService/Do"
    text = ENTRIES_GRANT.replace("auditor-list-entries", "do").replace(ENTRIES, other)
    edit(checkout, GRANTS, ENTRIES_GRANT, f"{text}    why: They ask.\n{ENTRIES_GRANT}")
    found = matrices.brief(matrices.changes(base, checkout, own_pdp, other))
    assert {row for row in found if row[0] == "new"} == {
        ("new", "gateway", "OtherService/Do", "auditor", "whatever it says")
    }


def test_one_edit_is_a_few_lines(checkout: Path, own_pdp: Path) -> None:
    """An open grant is one line, though it is new to many and each of their messages."""
    base = source.read(checkout, "base")
    edit(checkout, GRANTS, ENTRIES_GRANT, ENTRIES_GRANT.replace("[user_is_auditor]", "[]"))
    groups = grouped(matrices.changes(base, checkout, own_pdp, ENTRIES))
    (new,) = [group for group in groups if group.kind is Kind.NEW]
    assert (new.callers, new.targets) == (("gateway",), (ENTRIES,))
    assert new.users == ("none", "customer", "operator", "unknown")
    assert new.before == ("USER_TOKEN_MISSING", "USER_ROLE_MISSING")
    assert len(groups) == 1


@pytest.fixture
def repository(checkout: Path, monkeypatch: pytest.MonkeyPatch, own_pdp: Path) -> Path:
    """The copy with a history of one revision, in the checkout's place; asked of two RPCs."""
    matrices.commit(checkout)
    monkeypatch.setenv("PAYMESH_ROOT", str(checkout))
    monkeypatch.setattr(binaries, "built", lambda *_: own_pdp)
    matrices.narrow(monkeypatch, ENTRIES, BALANCE)
    return checkout


def _diff(*arguments: str) -> Result:
    return CliRunner().invoke(main._app, ["policy", "diff", *arguments])


def _loosen(repository: Path) -> None:
    both = ENTRIES_GRANT.replace("user_is_auditor", "user_is_staff")
    edit(repository, GRANTS, ENTRIES_GRANT, both)


def _approve(repository: Path, *lines: dict[str, str]) -> None:
    text = "".join(
        LINE.format(**{"change": "allow", "rpc": ENTRIES, "role": "operator"} | line)
        for line in lines
    )
    edit(repository, APPROVALS, "approvals: []", f"approvals:\n{text}")


def test_a_new_permission_needs_an_approval(repository: Path) -> None:
    """Without one diff exits with 1, says what is new, and which line is missing."""
    _loosen(repository)
    done = _diff("HEAD")
    assert done.exit_code == 1
    assert f"+ gateway as operator → {ENTRIES}: whatever it says" in done.output
    assert f"{{change: allow, caller: gateway, rpc: {ENTRIES}, as: operator" in done.output


def test_an_approval_in_the_same_change_counts(repository: Path) -> None:
    """With the line that names it diff exits with 0 and marks it as approved."""
    _loosen(repository)
    _approve(repository, {})
    done = _diff("HEAD")
    assert done.exit_code == 0, done.output
    assert "approved" in done.output


def test_an_approval_from_before_does_not_count(repository: Path) -> None:
    """A line that the base has already is about an earlier change."""
    _approve(repository, {})
    matrices.commit(repository)
    _loosen(repository)
    assert _diff("HEAD").exit_code == 1


@pytest.mark.parametrize(
    "other",
    [{"role": "customer"}, {"role": "none"}, {"rpc": BALANCE}, {"change": "deny"}],
    ids=lambda other: next(iter(other.values())),
)
def test_an_approval_of_something_else_does_not_count(
    repository: Path, other: dict[str, str]
) -> None:
    """Another role, RPC or direction is another change."""
    _loosen(repository)
    _approve(repository, other)
    assert _diff("HEAD").exit_code == 1


def test_a_removal_needs_nobody(repository: Path) -> None:
    """To refuse more is safe: diff shows it and exits with 0."""
    edit(repository, GRANTS, ENTRIES_GRANT, ENTRIES_GRANT.replace("auditor]", "auditor, no_user]"))
    done = _diff("HEAD", "-o", "json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(one["as"], one["caller"]) for one in found["removed"]] == [
        ("auditor", "gateway"),
        ("all", "gateway"),
    ]
    assert (found["ok"], found["new"], found["unapproved"]) == (True, [], [])


def test_revisions_and_directories_compare(repository: Path) -> None:
    """After can be a revision or a directory; what is the same says so."""
    _loosen(repository)
    matrices.commit(repository)
    assert "allow and refuse the same" in _diff("HEAD").output
    assert _diff("HEAD~1", "--against", "HEAD").exit_code == 1
    assert _diff("HEAD~1", "--against", str(repository / "policies")).exit_code == 1
    assert _diff("HEAD", "--against", "HEAD~1").exit_code == 0


@pytest.mark.usefixtures("repository")
def test_a_revision_that_is_none_is_said_so() -> None:
    """A mistyped name, and one that begins like an option, is an error with a sentence."""
    for name in ("nonsense", "--output=x"):
        done = _diff("--", name)
        assert done.exit_code == 1
        assert "nor a git revision" in str(done.exception)
