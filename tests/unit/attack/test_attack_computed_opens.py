"""An edit that opens something adds exactly the edges that it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attack_copies as edit
import pytest
from attack_cells import (
    EVERYWHERE,
    HEALTH,
    LEDGER,
    LINKS,
    MESH,
    ON_THE_MACHINE,
    REFLECTION,
    TOKENS,
    as_workload,
    edges,
    others,
    rpcs,
    shown,
)
from attack_copies import ROOT, Change, Copy, copied, in_envoy, in_turn, mode

from paymesh.attack import model
from paymesh.attack.computed import computed
from paymesh.attack.model import INSIDE, NONE, OUTSIDE, OWN, Cell, Graph, State, Target


@pytest.fixture(scope="module")
def shipped() -> Graph:
    """The graph before an edit."""
    return computed(ROOT, "E")


def _open_outbound_socket(document: Any) -> None:
    edit.listener(document, "outbound")["address"]["pipe"]["mode"] = 0o666


def _health_at_the_gateway(document: Any) -> None:
    called = {"name": ":authority", "string_match": {"exact": f"ledger.{MESH.trust_domain}"}}
    match = {"path": f"{HEALTH}Check", "grpc": {}, "headers": [called]}
    edit.routes(document, "public").insert(0, {"match": match, "route": {"cluster": "ledger"}})


def _port_without_anything(document: Any) -> None:
    """Straight to the app, no TLS, no filters."""
    found = edit.manager(document, "inbound")
    (router,) = [one for one in found["http_filters"] if one["name"].endswith(".router")]
    connection = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {**found, "http_filters": [router]},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 18599}}
    document["static_resources"]["listeners"].append(
        {"name": "debug", "address": address, "filter_chains": [{"filters": [connection]}]}
    )


def _administration_port(document: Any) -> None:
    document["admin"]["address"] = {"socket_address": {"address": "127.0.0.1", "port_value": 18598}}


def _database_port(copy: Copy) -> None:
    (copy.root / "deploy" / "arm.yaml").write_text("arm: E\nnetwork_doors: [database]\n", "utf-8")


def _open_decision_points(copy: Copy) -> None:
    rule = 'allow if input.path == ["v1", "data", "paymesh", "objects", "decision"]'
    closed = "default allow := false\n"
    copy.text("policies/system/authz.rego", closed, f"{closed}\n{rule}\n")


_ALL_OF_LINKS = rpcs(
    *("bank-link", LINKS, "CreateLink", "GetLink", "ListLinks", "RemoveLink", "VerifyLink")
)
_ALL_OF_LEDGER = rpcs(
    *("ledger", LEDGER),
    *("OpenAccount", "PostTransfer", "GetBalance", "ListBalances", "ListEntries"),
)
_LIST_LINKS = rpcs("bank-link", LINKS, "ListLinks")
_LIST_BALANCES = rpcs("ledger", LEDGER, "ListBalances")
_WITHOUT_TOKEN = edit.without_filter("public", edit.JWT_AUTHN)
_WITHOUT_POLICY = edit.without_filter("inbound", edit.EXT_AUTHZ)
_WITHOUT_STRIPPING = edit.without_filter("inbound", edit.HEADER_MUTATION)
_STATEMENTS_LIST_LINKS = edit.grant("statements", f"{LINKS}ListLinks")
_OPEN_DIRECTORY = mode("directories", "run/{workload}", "0755")
_OPEN_KEY = mode("files", "secrets/pki/bundle.key", "0644")
_NOT_PAYMENTS = [position for position in ON_THE_MACHINE if position != "payments"]
_DECISION_POINTS = [f"decision-point:{workload.name}" for workload in MESH.services()]
_DATABASES = [f"database:{w.database}" for w in MESH.services()]

# The edits, which have nothing to do with each other; what they add beside what is there.
_OPENING: dict[str, tuple[Change, set[Cell]]] = {
    "one layer, and the next one holds": (
        in_turn(
            in_envoy("ledger", edit.without_sans, edit.without_certificate),
            in_envoy("gateway", _WITHOUT_TOKEN),
            in_envoy("bank-link", _WITHOUT_STRIPPING),
            # Behind a handshake that refuses; of what the service's own question refuses; on
            # conditions that only those meet who can do it anyway.
            _STATEMENTS_LIST_LINKS,
            edit.grant("gateway", f"{LEDGER}PostTransfer"),
            edit.grant(
                "payments", f"{LEDGER}ListBalances", "user_is_operator", "account_in_user_tenant"
            ),
            edit.conditions("user-get-link"),
            # In directories that nobody may enter.
            in_envoy("payments", _open_outbound_socket),
            _OPEN_KEY,
        ),
        set(),
    ),
    "directories with shut sockets": (_OPEN_DIRECTORY, set()),
    "two layers": (
        in_turn(_STATEMENTS_LIST_LINKS, in_envoy("bank-link", edit.without_sans)),
        edges(_LIST_LINKS, **as_workload("statements"), credentials=TOKENS),
    ),
    "a socket and a key that everybody may open": (
        in_turn(
            *(_OPEN_DIRECTORY, in_envoy("payments", _open_outbound_socket), _OPEN_KEY),
            mode("directories", "secrets", "0755"),
            mode("directories", "secrets/pki", "0755"),
        ),
        edges(rpcs("ledger", LEDGER, "OpenAccount", "PostTransfer", "GetBalance"), _NOT_PAYMENTS)
        | edges(rpcs("bank-link", LINKS, "GetLink"), _NOT_PAYMENTS, ["user:alice"])
        | others("policy-key", model.SIGN),
    ),
    "policy": (
        in_turn(
            edit.grant("payments", f"{LEDGER}ListBalances"),
            edit.conditions("user-list-links"),
            edit.conditions("auditor-list-entries"),
            _open_decision_points,
        ),
        edges(_LIST_BALANCES, [INSIDE], identities=["live:payments"])
        | edges(_LIST_BALANCES, ["payments"])
        | edges(_LIST_LINKS, EVERYWHERE, ["user:olivia", "user:oscar", "user:audrey"])
        # Operators may read accounts of their tenant: this condition alone kept them out.
        | edges(rpcs("ledger", LEDGER, "ListEntries"), EVERYWHERE, ["user:olivia"])
        | {
            cell
            for name in _DECISION_POINTS
            for credential in (NONE, name)
            for cell in others(name, model.ASK, credential=credential)
        },
    ),
    "a route at the gateway": (
        in_envoy("gateway", _health_at_the_gateway),
        edges(rpcs("ledger", HEALTH, "Check"), EVERYWHERE, TOKENS),
    ),
    "a route, and no token": (
        in_envoy("gateway", _health_at_the_gateway, _WITHOUT_TOKEN),
        edges([*rpcs("ledger", HEALTH, "Check"), Target("gateway", model.FORWARD)], EVERYWHERE),
    ),
    "ports": (
        in_turn(in_envoy("ledger", _port_without_anything, _administration_port), _database_port),
        edges(
            [
                *_ALL_OF_LEDGER,
                *rpcs("ledger", HEALTH, "Check", "List", "Watch"),
                *rpcs("ledger", REFLECTION, "ServerReflectionInfo"),
            ],
            ON_THE_MACHINE,
        )
        | others("envoy:ledger", model.ADMINISTER)
        | {cell for name in _DATABASES for cell in others(name, model.WRITE, credential=name)},
    ),
}


@pytest.mark.parametrize("name", _OPENING)
def test_an_edit_that_opens_something_adds_exactly_that(
    name: str, shipped: Graph, tmp_path: Path
) -> None:
    """Every edge that the edit opens, no other, and none is lost."""
    change, expected = _OPENING[name]
    copy = copied(tmp_path)
    change(copy)
    after = copy.graph()
    assert shown(shipped - after) == []
    assert shown(after - shipped) == shown(expected - shipped)


@pytest.mark.parametrize(
    ("changes", "forged"),
    [
        ([_WITHOUT_POLICY], []),
        (
            [_WITHOUT_POLICY, _WITHOUT_STRIPPING],
            [*_ALL_OF_LINKS, *rpcs("bank-link", REFLECTION, "ServerReflectionInfo")],
        ),
    ],
)
def test_without_policy_a_service_is_what_its_callers_say(
    changes: list[Callable[[Any], None]], forged: list[Target], shipped: Graph, tmp_path: Path
) -> None:
    """Without ext_authz those who get through the handshake are answered about health and about
    nothing else, as long as nobody else can set the headers that the sidecar sets.
    """
    copy = copied(tmp_path)
    in_envoy("bank-link", *changes)(copy)
    health = rpcs("bank-link", HEALTH, "Check", "List", "Watch")
    expected = edges([*health, *forged], **as_workload("gateway"))
    expected |= edges([*health, *forged], **as_workload("payments"))
    assert shown(copy.graph() - shipped) == shown(expected - shipped)


def test_an_identity_more(shipped: Graph, tmp_path: Path) -> None:
    """Payments is given the ledger's SVID too; what the ledger may call is nothing."""
    copy = copied(tmp_path)

    def change(document: Any) -> None:
        (ledger,) = [e for e in document["entries"] if e["spiffe_id"].endswith("/ledger")]
        uid = f"uid:{MESH.uid('payments')}"
        document["entries"].append({**ledger, "selectors": [{"type": "unix", "value": uid}]})

    copy.yaml("spire/entries.json", change)
    expected = others("spire-agent", "svid:ledger", ["payments"])
    assert shown(copy.graph() - shipped) == shown(expected)


def test_a_new_workload_brings_its_own_edges(shipped: Graph, tmp_path: Path) -> None:
    """A job with a grant and a place in the callee's list: whatever is new is done from it or
    with its certificate, or is its SVID; and the object policy, which knows no such caller,
    lets it read nothing.
    """
    copy = copied(tmp_path)
    job = {"kind": "job", "uid_offset": 6}
    copy.yaml(edit.MESH_FILE, lambda mesh: mesh["workloads"].update(reports=job))
    name = MESH.spiffe_id("reports")
    uid = {"type": "unix", "value": f"uid:{MESH.uid_base + 6}"}
    entry = {"spiffe_id": name, "parent_id": "x", "selectors": [uid]}
    copy.yaml("spire/entries.json", lambda document: document["entries"].append(entry))
    edit.grant("reports", f"{LEDGER}GetBalance", "no_user")(copy)
    in_envoy("ledger", lambda document: edit.sans(document).append(edit.san(name)))(copy)
    after = copy.graph()
    assert shipped < after
    for cell in after - shipped:
        named = {cell.state.position, cell.state.identity_of, cell.target.method[len("svid:") :]}
        assert "reports" in named, cell
    own = {str(cell.target) for cell in after if cell.state == State("reports", OWN, NONE)}
    assert own == {"spire-agent/svid:reports"}


def test_outside_opens_nothing_on_the_machine(shipped: Graph, tmp_path: Path) -> None:
    """With every mode wide open everybody on the machine has every key; outside has nothing
    more than it had.
    """
    copy = copied(tmp_path)

    def change(document: Any) -> None:
        for line in (*document["directories"], *document["files"], *document["listeners"]):
            if "mode" in line:
                line["mode"] = "0777"

    copy.yaml(edit.INVENTORY, change)
    after = copy.graph()
    assert {c for c in after if c.state.position == OUTSIDE} == {
        c for c in shipped if c.state.position == OUTSIDE
    }
    reached = {str(cell.target) for cell in after if cell.state == State(INSIDE, NONE, NONE)}
    keys = {"policy-key/sign", "token-issuer/sign", "spire-server/mint"}
    assert {*keys, "supervisor/control", "database:ledger/write"} <= reached
