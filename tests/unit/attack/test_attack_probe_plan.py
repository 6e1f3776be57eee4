"""What the prober sets out to try, and that it misses nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from attack_copies import copied, listener
from probe_stage import (
    GET_BALANCE,
    MESH,
    RPCS,
    done,
    ground,
    planned,
    planned_everywhere,
    refused,
)

from paymesh.attack.model import (
    FORWARD,
    INSIDE,
    NONE,
    OPERATOR,
    OUTSIDE,
    OWN,
    Cell,
    State,
    Target,
    cells,
    other_targets,
)
from paymesh.attack.probe import rpcs
from paymesh.attack.probe.attempts import Attempt, Spoken, plan_of
from paymesh.attack.probe.canaries.databases import Databases
from paymesh.attack.probe.canaries.providers import Providers
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.ground import Ground
from paymesh.attack.probe.judging import probed
from paymesh.mesh import External

CELLS = list(cells(MESH, RPCS))


@pytest.fixture(name="home", scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which nothing is."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(name="everything", scope="module")
def planned_once(home: Path) -> list[Attempt]:
    """All attempts of all positions."""
    return planned_everywhere(ground(home))


def _ways(attempts, target: Target) -> set[str]:
    return {attempt.way for attempt in attempts if attempt.target == target}


def test_every_cell_of_the_definition_is_tried_with_all_that_its_state_has(
    everything: list[Attempt],
) -> None:
    """What is planned covers each cell, and refusals everywhere make a graph without edges."""
    found = probed([refused(attempt) for attempt in everything], CELLS)
    assert found.graph == frozenset()
    assert len(found.cells) == len(CELLS) > 7000


@pytest.mark.parametrize(
    "cell",
    [
        Cell(State(INSIDE, "foreign:ledger", "user:bob"), GET_BALANCE),
        Cell(State(OPERATOR, NONE, "database:ledger"), Target("database:ledger", "write")),
        Cell(State("statements", OWN, NONE), Target("spire-agent", "svid:payments")),
        Cell(State(OUTSIDE, NONE, "user:audrey"), Target("gateway", FORWARD)),
    ],
    ids=str,
)
def test_a_cell_that_was_not_tried_makes_the_measurement_void(
    everything: list[Attempt], cell: Cell
) -> None:
    """Without the attempts that show all that a cell's state has there is no graph."""
    state = cell.state
    kept = [
        attempt
        for attempt in everything
        if (attempt.position, attempt.credential) != (state.position, state.credential)
        or (cell.target.is_rpc and attempt.identity != state.identity)
    ]
    with pytest.raises(ProbeError, match="was not tried"):
        probed([refused(attempt) for attempt in kept], CELLS)


def test_an_rpc_is_tried_in_every_known_way(everything: list[Attempt]) -> None:
    """In plaintext under every name, by TLS, through the gateway and at every socket."""
    ways = _ways([one for one in everything if one.position == INSIDE], GET_BALANCE)
    names = MESH.workloads
    assert ways == {
        "in plaintext",
        *(f"in plaintext, claiming to be {name}" for name in names),
        "by TLS without a certificate",
        "by TLS with its certificate",
        "through the gateway, claiming to be payments",
        *(f"by {workload.name}'s outbound socket" for workload in MESH.sidecars()),
        *(
            f"at its app's socket, as {name} for {w}"
            for name in names
            for w in ("nobody", "somebody")
        ),
    }


def test_both_requests_of_an_rpc_are_tried(everything: list[Attempt]) -> None:
    """Where those who may make an RPC may not make the same request, each is tried."""
    target = Target("ledger", "/paymesh.ledger.v1.LedgerService/OpenAccount")
    twice = [attempt for attempt in everything if attempt.target == target]
    once = [attempt for attempt in everything if attempt.target == GET_BALANCE]
    assert len(twice) == 2 * len(once)


@pytest.mark.parametrize("target", other_targets(MESH), ids=str)
def test_everything_that_is_no_rpc_is_tried_from_everywhere(
    everything: list[Attempt], target: Target
) -> None:
    """Each such target has an attempt at each position; without a certificate at first."""
    for position in (OUTSIDE, INSIDE, OPERATOR, *MESH.workloads):
        found = [a for a in everything if (a.position, a.target) == (position, target)]
        assert any((a.identity, a.credential) == (NONE, NONE) for a in found)


def test_each_attempt_has_a_name_of_its_own(everything: list[Attempt]) -> None:
    """A canary names one attempt and no other."""
    assert len({attempt.id for attempt in everything}) == len(everything)


def test_a_door_that_a_copy_opens_is_tried(tmp_path: Path) -> None:
    """A second listener of a service's Envoy, and administration on a port, are doors too."""
    copy = copied(tmp_path)
    copy.yaml("envoy/ledger.yaml", _open_doors)
    attempts = planned(ground(tmp_path / "home", copy.root), INSIDE)
    ways = _ways(attempts, GET_BALANCE)
    assert {
        "in plaintext, at its port extra",
        "by TLS with its certificate, at its port extra",
    } <= ways
    (admin,) = [a for a in attempts if a.target == Target("envoy:ledger", "administer")]
    assert admin.deed["address"] == {"tcp": ("127.0.0.1", 19998)}


def _open_doors(document: Any) -> None:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 19999}}
    extra = {**listener(document, "inbound"), "name": "extra", "address": address}
    document["static_resources"]["listeners"].append(extra)
    document["admin"]["address"] = {"socket_address": {"address": "127.0.0.1", "port_value": 19998}}


def test_secrets_of_others_that_lie_open_are_presented(home: Path) -> None:
    """A secret that a position could read is tried there, as what somebody without it can do."""
    where = ground(home)
    credential = "decision-point:ledger"
    lying = type(where)(where.stage, {INSIDE: {credential: "found"}})
    target = Target(credential, "ask")
    tokens = {
        attempt.deed["headers"].get("authorization")
        for attempt in planned(lying, INSIDE)
        if attempt.target == target and attempt.credential == NONE
    }
    assert tokens == {None, "Bearer found"}


def test_who_has_more_can_do_with_less(everything: list[Attempt]) -> None:
    """What worked without certificate or token is an edge with them too, not the other way."""
    verdicts = [
        done(attempt)
        if (attempt.position, attempt.target, attempt.identity, attempt.credential)
        == ("statements", GET_BALANCE, OWN, NONE)
        else refused(attempt)
        for attempt in everything
    ]
    states = {cell.state for cell in probed(verdicts, CELLS).graph}
    assert {state.identity for state in states} == {OWN}
    assert {state.credential for state in states} == {
        NONE,
        *(f"user:{name}" for name in MESH.users.known),
    }


def test_calls_to_one_address_with_one_certificate_share_a_connection(home: Path) -> None:
    """A plan has one conversation for each address and certificate, and no secret twice."""
    where = ground(home)
    attempts = planned(where, INSIDE)
    plan = plan_of(attempts, where.certificates(), rpcs.headers_of(where))
    spoken = [(repr(c["address"]), repr(c["tls"])) for c in plan["conversations"]]
    assert len(set(spoken)) == len(spoken)
    calls = sum(len(conversation["calls"]) for conversation in plan["conversations"])
    assert calls == sum(isinstance(attempt.deed, Spoken) for attempt in attempts)
    assert json.dumps(plan).count("token of alice") == 1
    assert sorted(plan["certificates"]) == sorted(
        f"{kind}:{name}" for kind in ("live", "expired", "foreign") for name in MESH.workloads
    )


@pytest.mark.parametrize(("kind", "named"), [(Databases, "rates"), (Providers, "weather")])
def test_what_there_is_no_canary_for_is_named(home: Path, kind: Any, named: str) -> None:
    """A database or a provider that the probes cannot try is an error, not a gap."""
    where = ground(home)
    ledger = dataclasses.replace(MESH.workloads["ledger"], database="rates")
    mesh = dataclasses.replace(
        MESH,
        workloads={**MESH.workloads, "ledger": ledger},
        external={"weather": External("weather", "api.weather.test", 18539)},
    )
    stage = dataclasses.replace(where.stage, mesh=mesh)
    with pytest.raises(ProbeError, match=named):
        kind(Ground(stage))
