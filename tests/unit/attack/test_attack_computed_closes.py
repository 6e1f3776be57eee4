"""An edit that closes something takes exactly those edges away, and what cannot be judged is
refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attack_copies as edit
import pytest
from attack_cells import LEDGER, LINKS, MESH, PAYMENTS, shown
from attack_copies import ROOT, Change, copied, in_envoy

from paymesh.attack import model
from paymesh.attack.computed import computed
from paymesh.attack.model import INSIDE, NONE, OWN, Graph
from paymesh.errors import ConfigError

_CREATE = f"payments{PAYMENTS}CreatePayment"
_REFUND = f"payments{PAYMENTS}RefundPayment"
_POST = f"ledger{LEDGER}PostTransfer"
_ENTRIES = f"ledger{LEDGER}ListEntries"
_BALANCE = f"ledger{LEDGER}GetBalance"


def _at_its_app(target: str) -> set[tuple[str, str, str]]:
    """Behind its own sidecar nobody asks the policy about a call."""
    workload = target.partition("/")[0]
    return {(workload, identity, target) for identity in (NONE, OWN)}


def _by(
    caller: str, target: str, identities: tuple[str, ...] = (OWN,)
) -> set[tuple[str, str, str]]:
    """By other grants: with the caller's certificate, or from its place."""
    own = {(caller, identity, target) for identity in identities}
    return own | {(INSIDE, f"live:{caller}", target)}


# The edit; targets; position, identity and target of the edges that stay.
_CLOSING: dict[str, tuple[Change, tuple[str, ...], set[tuple[str, str, str]]]] = {
    "a limit of payments": (edit.limit("user_payment", 0), (_CREATE,), _at_its_app(_CREATE)),
    # Paying and refunding end in a transfer, also where nobody asks about the payment.
    "a limit of transfers": (
        edit.limit("transfer_leg", 0),
        (_CREATE, _REFUND, _POST),
        _at_its_app(_POST),
    ),
    "the grant of a step": (
        edit.without_grant("payments-post-transfer"),
        (_CREATE, _REFUND, _POST),
        _at_its_app(_POST),
    ),
    "a grant": (
        edit.without_grant("auditor-list-entries"),
        (_ENTRIES,),
        _at_its_app(_ENTRIES) | _by("statements", _ENTRIES),
    ),
    "a condition more": (
        edit.conditions("staff-get-balance", "user_is_operator", "user_is_customer"),
        (_BALANCE,),
        _at_its_app(_BALANCE)
        | _by("statements", _BALANCE)
        | _by("payments", _BALANCE, (NONE, OWN)),
    ),
}


@pytest.fixture(scope="module")
def shipped() -> Graph:
    """The graph before an edit."""
    return computed(ROOT, "E")


@pytest.mark.parametrize("name", _CLOSING)
def test_an_edit_that_closes_something_takes_exactly_that_away(
    name: str, shipped: Graph, tmp_path: Path
) -> None:
    """Every edge to the target but those of who does without what was closed, and none is new."""
    change, targets, kept = _CLOSING[name]
    copy = copied(tmp_path)
    change(copy)
    after = copy.graph()
    gone = {
        cell
        for cell in shipped
        if str(cell.target) in targets
        and (cell.state.position, cell.state.identity, str(cell.target)) not in kept
    }
    assert gone
    assert shown(after - shipped) == []
    assert shown(shipped - after) == shown(gone)


def test_a_route_less_at_the_gateway(shipped: Graph, tmp_path: Path) -> None:
    """Nobody gets there by the gateway's port; who has its certificate or socket still does."""
    copy = copied(tmp_path)
    path = f"{LINKS}VerifyLink"

    def change(document: Any) -> None:
        routes = edit.routes(document, "public")
        (found,) = [route for route in routes if route["match"].get("path") == path]
        routes.remove(found)

    in_envoy("gateway", change)(copy)
    after = copy.graph()
    assert after < shipped
    assert {cell.target.method for cell in shipped - after} == {path}
    left = {(c.state.position, c.state.identity) for c in after if c.target.method == path}
    by_gateway = {("gateway", NONE), ("gateway", OWN), (INSIDE, "live:gateway")}
    assert left == by_gateway | {("bank-link", NONE), ("bank-link", OWN)}


def test_a_name_less_in_a_callees_list(shipped: Graph, tmp_path: Path) -> None:
    """Without its name among those that the ledger's handshake takes, the job reads nothing."""
    copy = copied(tmp_path)
    statements = edit.san(MESH.spiffe_id("statements"))
    in_envoy("ledger", lambda document: edit.sans(document).remove(statements))(copy)
    lost = shipped - copy.graph()
    assert {(c.state.position, c.state.identity) for c in lost} == {
        ("statements", OWN),
        (INSIDE, "live:statements"),
    }
    assert {c.target.destination for c in lost} == {"ledger"}


def test_a_sockets_group_decides(shipped: Graph, tmp_path: Path) -> None:
    """PostgreSQL's socket for its owner alone: no workload writes any database."""
    copy = copied(tmp_path)
    edit.mode("listeners", "run/postgres/.s.PGSQL.5432", "0700")(copy)
    after = copy.graph()
    assert after < shipped
    assert {cell.target.method for cell in shipped - after} == {model.WRITE}
    assert not any(cell.target.method == model.WRITE for cell in after)


def _a_filter(document: Any) -> None:
    edit.manager(document, "inbound")["http_filters"].insert(0, {"name": "envoy.filters.http.lua"})


def _a_matcher(document: Any) -> None:
    edit.sans(document)[0]["matcher"] = {"custom": {}}


def _an_authority(document: Any) -> None:
    own = edit.validation(document)
    own["trusted_ca"] = {"filename": "ca.pem"}


def _a_selector(document: Any) -> None:
    document["entries"][0]["selectors"] = [{"type": "k8s", "value": "ns:paymesh"}]


_UNJUDGED: dict[str, tuple[Change, str]] = {
    "a filter": (in_envoy("ledger", _a_filter), "envoy.filters.http.lua"),
    "a matcher": (in_envoy("ledger", _a_matcher), "custom"),
    "an authority of its own": (in_envoy("ledger", _an_authority), "a file of authorities"),
    "a selector": (lambda copy: copy.yaml("spire/entries.json", _a_selector), "selectors"),
    "an account": (
        lambda copy: copy.text(
            edit.INVENTORY,
            "unix: control.sock\n    owner: root",
            "unix: control.sock\n    owner: nobody",
        ),
        "no account 'nobody'",
    ),
    "a socket that is not declared": (
        lambda copy: copy.text(edit.INVENTORY, "unix: control.sock", "unix: other.sock"),
        "no socket control.sock",
    ),
    "an RPC that nobody tries": (
        lambda copy: copy.yaml(
            "deploy/attack/requests.yaml", lambda found: found.pop(f"{LINKS}GetLink")
        ),
        "no message for",
    ),
}


@pytest.mark.parametrize("name", _UNJUDGED)
def test_what_cannot_be_judged_is_refused(name: str, tmp_path: Path) -> None:
    """No guess: what the graph is computed from has to be understood."""
    change, words = _UNJUDGED[name]
    copy = copied(tmp_path)
    change(copy)
    with pytest.raises(ConfigError, match=words):
        copy.graph()
