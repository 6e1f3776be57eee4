"""M5: each edge has a reason, each reason an edge, and nothing is explained by accident."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from paymesh.attack import model
from paymesh.attack.model import Graph
from paymesh.attack.report import remaining
from paymesh.attack.report.remaining import Explanation
from paymesh.errors import ConfigError
from paymesh.grants import load_grants
from unit.attack.attack_graphs import BALANCE, MESH, NARROW, PAY, POST, edge

_FORWARD: dict[str, Any] = {
    "position": ["outside", "inside"],
    "identity": ["none"],
    "credential": ["user"],
    "destination": ["gateway"],
    "method": [model.FORWARD],
    "why": "The gateway serves users.",
}
_USERS: dict[str, Any] = {
    "position": ["outside"],
    "identity": ["none"],
    "credential": ["user:alice"],
    "grants": ["user-create-payment"],
    "why": "Users are users.",
}
_CALLERS: dict[str, Any] = {
    "position": ["{caller}"],
    "identity": ["own"],
    "credential": ["none", "user"],
    "grants": ["payments-*"],
    "why": "A workload calls what it is granted.",
}
_DATABASES: dict[str, Any] = {
    "position": ["ledger"],
    "identity": ["own"],
    "credential": ["database:{database}"],
    "destination": ["database:{database}"],
    "method": [model.WRITE],
    "why": "A service writes its own database.",
}
_ALL = [_FORWARD, _USERS, _CALLERS, _DATABASES]


def _explain(root: Path, reasons: list[Mapping[str, Any]], graph: Graph) -> Explanation:
    path = root / remaining.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"reasons": [dict(one) for one in reasons]}), encoding="utf-8")
    return remaining.explain(MESH, load_grants(), remaining.load(root), graph)


def test_each_edge_has_its_reason_and_each_reason_an_edge(tmp_path: Path) -> None:
    """Reasons that fit leave nothing over; a grant's own sentence stands beside it."""
    found = _explain(tmp_path, _ALL, NARROW)
    assert (found.without, found.unused) == ((), ())
    why = {one.cell: (one.why, one.grant, one.grant_why) for one in found.edges}
    assert set(why) == set(NARROW)
    grants = {grant.id: grant.why for grant in load_grants().grants}
    assert why[edge("outside/none/user:alice", "payments", PAY)] == (
        "Users are users.",
        "user-create-payment",
        grants["user-create-payment"],
    )
    assert why[edge("payments/own/none", "ledger", POST)] == (
        "A workload calls what it is granted.",
        "payments-post-transfer",
        grants["payments-post-transfer"],
    )


@pytest.mark.parametrize(
    "new",
    [
        "outside/none/user:bob payments " + PAY,
        "outside/live:ledger/user:alice payments " + PAY,
        "inside/none/user:alice payments " + PAY,
        "gateway/own/none ledger " + POST,
        "payments/none/none ledger " + POST,
        "ledger/own/database:payments database:payments write",
        "payments/own/database:ledger database:ledger write",
        "statements/own/none ledger " + BALANCE,
    ],
)
def test_an_edge_that_no_reason_is_about_has_none(tmp_path: Path, new: str) -> None:
    """A state or target that differs in one thing from an explained one is not explained by it."""
    cell = edge(*new.split(" "))
    assert _explain(tmp_path, _ALL, NARROW | {cell}).without == (cell,)


def test_a_reason_without_an_edge_is_named(tmp_path: Path) -> None:
    """Each reason of which all edges are gone is named, by its number and sentence."""
    gone = frozenset(cell for cell in NARROW if cell.target.method != model.WRITE)
    found = _explain(tmp_path, _ALL, gone)
    assert found.unused == (
        "reason 4 (A service writes its own database.) is the reason of no edge",
    )


def test_a_reason_that_says_too_much_is_named(tmp_path: Path) -> None:
    """An entry of a list that no edge needs is named, so that patterns cannot be left wide."""
    wide = {**_FORWARD, "identity": ["none", "live"], "credential": ["user", "none"]}
    found = _explain(tmp_path, [wide, *_ALL[1:]], NARROW)
    (unused,) = found.unused
    assert unused.startswith("reason 1 (The gateway serves users.): no edge needs")
    assert unused.endswith("`live` of identity, `none` of credential")


def test_a_reason_in_the_shadow_of_another_is_named(tmp_path: Path) -> None:
    """The first reason that matches is the edge's: the same said twice is no reason."""
    found = _explain(tmp_path, [*_ALL, _FORWARD], NARROW)
    assert found.unused == ("reason 5 (The gateway serves users.) is the reason of no edge",)


@pytest.mark.parametrize(
    "wrong",
    [
        {**_FORWARD, "why": " "},
        {**_FORWARD, "why": 3},
        {key: value for key, value in _FORWARD.items() if key != "why"},
        {key: value for key, value in _FORWARD.items() if key != "position"},
        {key: value for key, value in _FORWARD.items() if key != "method"},
        {**_FORWARD, "position": "outside"},
        {**_FORWARD, "position": []},
        {**_FORWARD, "credential": [1]},
        {**_FORWARD, "positions": ["inside"]},
        {**_USERS, "destination": ["payments"]},
        {**_USERS, "grants": []},
    ],
)
def test_what_is_no_reason_is_refused(tmp_path: Path, wrong: Mapping[str, Any]) -> None:
    """A reason lacks nothing, has nothing that means nothing, and says why."""
    with pytest.raises(ConfigError, match=r"remaining\.yaml"):
        _explain(tmp_path, [wrong], NARROW)
