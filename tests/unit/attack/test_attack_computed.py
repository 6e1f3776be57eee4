"""The graph that is computed from the files as they are shipped, and from each arm's."""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from attack_copies import ROOT, copied

from paymesh.attack import model
from paymesh.attack.arms.build import build
from paymesh.attack.computed import apps, computed
from paymesh.attack.computed.messages import read_messages
from paymesh.attack.computed.site import read_site
from paymesh.attack.model import ARMS, NONE, OUTSIDE, OWN, Arm, Graph, State, Target
from paymesh.errors import ConfigError
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh

_MESH = load_mesh(ROOT, port_offset=0)
_TABLE = ROOT / "tests" / "unit" / "attack" / "expected_edges.yaml"


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Arm, Graph]:
    """Each arm's, from its copy of the checkout."""
    parent = tmp_path_factory.mktemp("arms")
    found: dict[Arm, Graph] = {}
    for arm in ARMS:
        build(arm, ROOT, parent / arm)
        found[arm] = computed(parent / arm, arm)
    return found


def _of(graph: Graph, position: str, identity: str = NONE, credential: str = NONE) -> set[str]:
    state = State(position, identity, credential)
    return {str(cell.target) for cell in graph if cell.state == state}


def test_each_arm_has_every_edge_of_the_next(graphs: Mapping[Arm, Graph]) -> None:
    """A layer takes edges away and adds none: E ⊂ D ⊂ C ⊂ B ⊂ A."""
    for looser, tighter in itertools.pairwise(ARMS):
        assert graphs[tighter] < graphs[looser], (looser, tighter)


def test_what_a_layer_is_for_is_all_that_it_takes_away(graphs: Mapping[Arm, Graph]) -> None:
    """Between C, D and E only RPCs differ, and the gateway's: it passes on what has no user's
    token in no arm. From B to C databases leave the network; every key and socket stays shut.
    """
    for looser, tighter in (("C", "D"), ("D", "E")):
        assert all(cell.target.is_rpc for cell in graphs[looser] - graphs[tighter])
    others = {c.target.destination for c in graphs["B"] - graphs["C"] if not c.target.is_rpc}
    assert others == {"database:payments", "database:ledger", "database:bank_link"}
    others = {c.target.destination for c in graphs["A"] - graphs["B"] if not c.target.is_rpc}
    assert others <= {"gateway"}


def test_the_copy_of_arm_e_is_what_is_shipped(graphs: Mapping[Arm, Graph]) -> None:
    """Without the arm's file a checkout is arm E."""
    assert computed(ROOT, "E") == graphs["E"]


def test_it_agrees_with_the_table_that_people_wrote(graphs: Mapping[Arm, Graph]) -> None:
    """Some states of arm E with all that they can do, written by hand from the threat model."""
    for key, expected in yaml.safe_load(_TABLE.read_text("utf-8")).items():
        position, identity, credential = key.split("/")
        assert _of(graphs["E"], position, identity, credential) == set(expected), key


@pytest.mark.parametrize("arm", ARMS)
def test_outside_reaches_what_the_gateway_lets_through(
    graphs: Mapping[Arm, Graph], arm: Arm
) -> None:
    """In every arm: nothing without a user's token, with one what the gateway routes, and no
    stolen certificate helps.
    """
    granted = {grant.rpc for grant in load_grants(ROOT).grants if grant.caller == "gateway"}
    outside = [cell for cell in graphs[arm] if cell.state.position == OUTSIDE]
    assert outside
    for cell in outside:
        assert cell.state.user is not None
        assert cell.target == Target("gateway", model.FORWARD) or cell.target.method in granted
        without = State(OUTSIDE, NONE, cell.state.credential)
        assert model.Cell(without, cell.target) in graphs[arm]


@pytest.mark.parametrize("arm", ARMS)
def test_expired_and_foreign_certificates_are_worth_nothing(
    graphs: Mapping[Arm, Graph], arm: Arm
) -> None:
    """Whatever is done with one is done without it."""
    for cell in graphs[arm]:
        if cell.state.identity_kind in {"expired", "foreign"}:
            without = State(cell.state.position, NONE, cell.state.credential)
            assert model.Cell(without, cell.target) in graphs[arm]


@pytest.mark.parametrize("arm", ARMS)
def test_who_has_more_can_do_no_less(graphs: Mapping[Arm, Graph], arm: Arm) -> None:
    """A certificate or a token that is there can be left away."""
    done: dict[State, set[Target]] = collections.defaultdict(set)
    for cell in graphs[arm]:
        if cell.target.is_rpc or cell.target.method == model.FORWARD:
            done[cell.state].add(cell.target)
    for state in model.caller_states(_MESH):
        for less in ((state.identity, NONE), (NONE, state.credential)):
            assert done[State(state.position, *less)] <= done[state], state


def test_every_edge_is_a_cell_of_the_definition(graphs: Mapping[Arm, Graph]) -> None:
    """Nothing is counted that is not asked."""
    cells = set(model.cells(_MESH, read_site(ROOT, "E").rpcs))
    assert all(graph <= cells for graph in graphs.values())


def test_every_rpc_and_other_target_is_reached_by_somebody_or_closed(
    graphs: Mapping[Arm, Graph],
) -> None:
    """What no state reaches in arm E are keys and sockets of root and of the platform."""
    site = read_site(ROOT, "E")
    every = {*model.rpc_targets(_MESH, site.rpcs), *model.other_targets(_MESH)}
    closed = {str(target) for target in every - {cell.target for cell in graphs["E"]}}
    assert closed == {
        "spire-server/mint",
        "policy-key/sign",
        "token-issuer/sign",
        "supervisor/control",
    }


def test_a_taken_over_workload_has_its_own_things_and_nobody_elses(
    graphs: Mapping[Arm, Graph],
) -> None:
    """Its SVID, its Envoy's administration and its decision point, in every arm."""
    for graph in graphs.values():
        for name, workload in _MESH.workloads.items():
            found = {t for t in _of(graph, name, OWN) if not t.startswith(tuple(_services()))}
            wanted = {f"spire-agent/svid:{name}"}
            wanted |= {f"envoy:{name}/administer"} if workload.kind != "job" else set()
            wanted |= {f"decision-point:{name}/check"} if workload.kind == "service" else set()
            assert found - {"gateway/forward"} == wanted


def _services() -> list[str]:
    return [f"{workload.name}/" for workload in _MESH.services()]


def test_a_copy_of_another_arm_is_refused(tmp_path: Path) -> None:
    """Else two arms could be compared that are the same one."""
    copy = copied(tmp_path)
    with pytest.raises(ConfigError, match="of arm E, not of B"):
        copy.graph("B")


def test_the_messages_are_those_of_the_probes() -> None:
    """As the policy is shown them: names as in JSON, 64-bit numbers as text, no ids left open."""
    messages = read_messages(ROOT)
    (payment,) = messages["/paymesh.payments.v1.PaymentsService/CreatePayment"]
    assert '"amount": {"currencyCode": "EUR", "minorUnits": "1"}' in payment
    assert "{" not in payment.replace('{"', "")
    assert len(messages["/paymesh.ledger.v1.LedgerService/OpenAccount"]) == 2


def test_the_table_of_services_knows_every_rpc_and_every_question() -> None:
    """What the services do stands there by hand: an RPC that it lacks would count as carried
    out, and a question that it lacks would not be asked.
    """
    rpcs = {rpc for found in read_site(ROOT, "E").rpcs.values() for rpc in found}
    own = {rpc for rpc in rpcs if rpc.startswith("/paymesh.")}
    assert set(apps._NEEDS) == own
    question = re.compile(r'"((?:payments|links|accounts)\.[a-z]+)"')
    sources = [ROOT / "services" / workload.module for workload in _MESH.services()]
    asked = {
        action
        for directory in sources
        for file in directory.glob("*.py")
        for action in question.findall(file.read_text("utf-8"))
    }
    assert len(asked) == 10
    assert set(question.findall(Path(apps.__file__).read_text("utf-8"))) == asked
