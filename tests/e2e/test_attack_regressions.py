"""A new service, a looser grant and an opened port, live: the report names exactly their edges."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.checkout import copied
from e2e.recipe import carry_out, paymesh
from paymesh.attack.computed import computed
from paymesh.attack.model import INSIDE, Graph, State
from paymesh.attack.report import document
from unit.attack import attack_copies as edit

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an arm"),
    pytest.mark.timeout(300),
]
_LISTS_LINKS = "/paymesh.bank_link.v1.BankLinkService/ListLinks"


def _port(document: Any) -> None:
    """A second listener of the ledger's Envoy, straight to the app, without TLS and policy."""
    found = edit.manager(document, "inbound")
    (router,) = [one for one in found["http_filters"] if one["name"].endswith(".router")]
    connection = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {**found, "http_filters": [router], "stat_prefix": "debug"},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 18599}}
    document["static_resources"]["listeners"].append(
        {"name": "debug", "address": address, "filter_chains": [{"filters": [connection]}]}
    )


_OPEN_PORT = edit.in_envoy("ledger", _port)
# Whoever has a token lists links, not customers alone.
_LOOSER_GRANT = edit.conditions("user-list-links")


@pytest.fixture(scope="module")
def before() -> Graph:
    """What is computed of the repository as it is."""
    return computed(edit.ROOT, "E")


@pytest.fixture(scope="module")
def with_service() -> Iterator[Path]:
    """A copy with one service more, as docs/adding-a-service.md has it."""
    with copied() as root:
        carry_out(root)
        done = paymesh(root, "render")
        assert done.returncode == 0, done.stderr
        yield root


@pytest.fixture(scope="module")
def alone(
    before: Graph, with_service: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Graph]:
    """The edges that each of the edits adds by itself, computed."""
    found = {"service": computed(with_service, "E")}
    for name, change in {"grant": _LOOSER_GRANT, "port": _OPEN_PORT}.items():
        copy = edit.copied(tmp_path_factory.mktemp(name))
        change(copy)
        found[name] = copy.graph()
    for name, graph in found.items():
        assert before < graph, name
    return {name: graph - before for name, graph in found.items()}


def test_each_edit_changes_the_count_by_its_own_edges(alone: dict[str, Graph]) -> None:
    """The service brings edges that have to do with it, the grant its RPC's, the port the
    ledger's.
    """
    for cell in alone["service"]:
        state, target = cell.state, cell.target
        names = {state.position, state.identity_of, target.destination.rpartition(":")[2]}
        names |= {state.credential.partition(":")[2], target.method.partition(":")[2]}
        assert "rates" in names, cell
    assert {cell.target.method for cell in alone["grant"]} == {_LISTS_LINKS}
    assert {cell.target.destination for cell in alone["port"]} == {"ledger"}
    assert State(INSIDE) in {cell.state for cell in alone["port"]}


def test_a_new_service_a_looser_grant_and_an_opened_port_are_named(
    before: Graph, alone: dict[str, Graph], with_service: Path
) -> None:
    """All three in a mesh that runs: probed and computed agree, the new edges are those of the
    three and what the new service's thief can do with the other two, the port is named as
    undeclared, and what it opens has no reason.
    """
    for change in (_LOOSER_GRANT, _OPEN_PORT):
        change(edit.Copy(with_service))
    done = paymesh(
        with_service,
        *("attack-paths", "--arm", "E", "-o", "json", "--diff", "committed"),
        timeout_seconds=200,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    new = document.parse(done.stdout, "the run's").graphs["E"] - before
    (changes,) = found["changes"]
    assert (len(changes["new"]), changes["gone"]) == (len(new), [])
    (row,) = [row for row in found["table"] if row["name"] == "M1 direct"]
    assert row["counts"]["E"] == len(before) + len(new)

    union = alone["service"] | alone["grant"] | alone["port"]
    assert sorted(map(str, union - new)) == []
    opened = {cell.target for cell in alone["grant"] | alone["port"]}
    for cell in new - union:
        assert "rates" in {cell.state.position, cell.state.identity_of}, cell
        assert cell.target in opened, cell

    undeclared, *others = found["problems"]
    assert "ledger-envoy" in undeclared
    assert "listens and is not in deploy/attack/inventory.yaml" in undeclared
    assert others
    assert all("no reason in deploy/attack/remaining.yaml" in words for words in others), others
