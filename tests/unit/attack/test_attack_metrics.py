"""M1, M2 and M3: against a slow and obvious reading of docs/attack-paths.md, and by hand."""

from __future__ import annotations

import dataclasses
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from paymesh.attack import metrics, model
from paymesh.attack.model import NONE, OWN, Cell, Graph, State, Target
from paymesh.mesh import load_mesh

_FULL = load_mesh(port_offset=0)
# One end user, so that a slow count is not too slow.
MESH = dataclasses.replace(
    _FULL, users=dataclasses.replace(_FULL.users, known={"alice": _FULL.users.known["alice"]})
)
_POST = "/paymesh.ledger.v1.LedgerService/PostTransfer"
_PAY = "/paymesh.payments.v1.PaymentsService/CreatePayment"
_GET = "/paymesh.payments.v1.PaymentsService/GetPayment"
_LINK = "/paymesh.bank_link.v1.BankLinkService/GetLink"
_RPCS = {"payments": [_PAY, _GET], "ledger": [_POST], "bank-link": [_LINK]}
_ALL = list(model.cells(MESH, _RPCS))
# Where things happen: many of the others are alike.
_BUSY = [
    cell
    for cell in _ALL
    if cell.state.identity in {NONE, OWN, "live:ledger"}
    and (cell.target.destination in MESH.workloads or model.jewel(cell.target))
]
_CELLS = st.one_of(st.sampled_from(_BUSY), st.sampled_from(_ALL))
_GRAPHS = st.frozensets(_CELLS, max_size=40)
_MANY = settings(max_examples=60, deadline=None)


def _edge(state: str, destination: str, method: str) -> Cell:
    return Cell(State(*state.split("/")), Target(destination, method))


def _slow_minimal(graph: Graph) -> set[Cell]:
    """An edge stays unless another one has as much of everything and less of something."""

    def less(one: Cell, other: Cell) -> bool:
        return (
            one != other
            and one.target == other.target
            and one.state.position == other.state.position
            and one.state.identity in {NONE, other.state.identity}
            and one.state.credential in {NONE, other.state.credential}
        )

    return {cell for cell in graph if not any(less(one, cell) for one in graph)}


def _is(name: str, state: State) -> bool:
    """Whether whoever has this name, a state's or a workload's, can be in this state."""
    if name in MESH.workloads:
        return state.position == name and state.credential in model.held_by(MESH, name)
    position, identity, credential = name.split("/")
    return (
        state.position == position
        and state.identity in {NONE, identity}
        and state.credential in {NONE, credential}
    )


def _names() -> list[str]:
    states = [s for s in model.caller_states(MESH) if s.position not in MESH.workloads]
    return [*map(str, states), *MESH.workloads]


def _slow_hops(graph: Graph) -> set[tuple[str, str]]:
    """(who, workload that falls in one step)."""
    return {
        (name, cell.target.destination)
        for name in _names()
        for cell in graph
        if _is(name, cell.state) and cell.target.destination in MESH.workloads
    }


def _slow_compromise(graph: Graph) -> set[tuple[str, str]]:
    """One step after the other until there can be no more."""
    hops = _slow_hops(graph)
    pairs = set()
    for name in _names():
        fallen = {name}
        for _ in MESH.workloads:
            fallen |= {workload for before, workload in hops if before in fallen}
        pairs |= {(name, workload) for workload in fallen - {name}}
    return pairs


def _slow_paths(graph: Graph) -> set[tuple[str, ...]]:
    """Every sequence of a start and at most three workloads, tried."""
    hops = _slow_hops(graph)
    reached = {
        (name, jewel)
        for name in _names()
        for cell in graph
        if _is(name, cell.state) and (jewel := model.jewel(cell.target))
    }
    return {
        (name, *between, jewel)
        for name in _names()
        for length in range(4)
        for between in itertools.permutations(set(MESH.workloads) - {name}, length)
        if all(step in hops for step in itertools.pairwise((name, *between)))
        for last, jewel in reached
        if last == (name, *between)[-1]
    }


@_MANY
@given(_GRAPHS)
def test_minimal_is_what_a_slow_reading_finds(graph: Graph) -> None:
    """M1 minimal leaves out exactly what the same position has with less, and adds nothing."""
    found = metrics.minimal(graph)
    assert found == _slow_minimal(graph)
    assert found <= graph


@_MANY
@given(_GRAPHS)
def test_compromise_is_what_a_slow_reading_finds(graph: Graph) -> None:
    """M2 has the pairs that are found by letting workloads fall until no more do."""
    assert metrics.compromise(MESH, graph) == _slow_compromise(graph)


@_MANY
@given(_GRAPHS)
def test_paths_are_what_a_slow_reading_finds(graph: Graph) -> None:
    """M3 has the paths that are found by trying every sequence of workloads."""
    assert metrics.paths(MESH, graph) == _slow_paths(graph)


@_MANY
@given(_GRAPHS, _CELLS)
def test_an_edge_more_lowers_nothing(graph: Graph, cell: Cell) -> None:
    """Adding an edge never lowers M1, M2 or M3, and takes away no pair and no path."""
    more = graph | {cell}
    assert metrics.figures(MESH, more).direct >= metrics.figures(MESH, graph).direct
    assert metrics.compromise(MESH, graph) <= metrics.compromise(MESH, more)
    assert metrics.paths(MESH, graph) <= metrics.paths(MESH, more)


@_MANY
@given(_GRAPHS)
def test_minimal_explains_every_edge(graph: Graph) -> None:
    """Each edge that M1 minimal leaves out is there with less, and that one is minimal."""
    found = metrics.minimal(graph)
    for cell in graph:
        assert any(Cell(less, cell.target) in found for less in metrics.weaker(cell.state)), cell


@_MANY
@given(_GRAPHS)
def test_the_parts_add_up(graph: Graph) -> None:
    """M3 by jewel sums to M3, and M1, M2 and M3 by start to each, whatever cells there are."""
    found = metrics.figures(MESH, graph)
    assert sum(found.by_jewel.values()) == found.paths
    totals = tuple(map(sum, zip(*found.by_start.values(), strict=True)))
    assert totals == (found.direct, found.compromise, found.paths)


def test_a_start_is_counted_as_what_it_begins_with() -> None:
    """A token at any position outside the workloads, none there, or a workload."""
    graph = frozenset(
        [
            _edge("inside/live:ledger/none", "ledger", _POST),
            _edge("outside/none/user:alice", "gateway", model.FORWARD),
            _edge("payments/own/user:alice", "ledger", _POST),
        ]
    )
    found = metrics.figures(MESH, graph).by_start
    assert {start: counts[0] for start, counts in found.items()} == dict.fromkeys(metrics.STARTS, 1)
    # With live:ledger ledger falls, with the token as well; with alice's token and each of the
    # certificates at outside the gateway.
    assert [counts[1] for counts in found.values()] == [1, 1 + 16, 1]


def test_every_jewel_of_the_model_is_counted() -> None:
    """The jewels that are listed are those that targets of this mesh can be."""
    assert {jewel for cell in _ALL if (jewel := model.jewel(cell.target))} == set(
        metrics.jewels(MESH)
    )


def test_a_chain_of_four_hops_is_counted_and_one_of_five_is_not() -> None:
    """Three workloads and a jewel are the longest path; a workload passed twice is none."""
    chain = [
        _edge("outside/none/user:alice", "gateway", model.FORWARD),
        _edge("gateway/own/none", "payments", _GET),
        _edge("payments/own/none", "bank-link", _LINK),
        _edge("bank-link/own/none", "ledger", _POST),
        _edge("bank-link/own/none", "payments", _GET),
        _edge("ledger/own/database:ledger", "database:ledger", model.WRITE),
    ]
    found = metrics.paths(MESH, frozenset(chain))
    longest = ("outside/none/user:alice", "gateway", "payments", "bank-link")
    assert (*longest, "posting to the ledger") in found
    assert not [p for p in found if p[0] == longest[0] and p[-1] == "writing database:ledger"]
    assert ("gateway", "payments", "bank-link", "ledger", "writing database:ledger") in found
    assert all(len(set(path)) == len(path) for path in found)


def test_a_start_need_not_show_all_that_it_has() -> None:
    """A stolen SVID that is refused with a token still opens what it opens without."""
    graph = frozenset([_edge("inside/live:ledger/none", "ledger", _POST)])
    pairs = metrics.compromise(MESH, graph)
    assert pairs == {
        ("inside/live:ledger/none", "ledger"),
        ("inside/live:ledger/user:alice", "ledger"),
    }


def test_what_stands_beside_a_workload_makes_nothing_fall() -> None:
    """Its decision point, its Envoy's administration and its SVID are edges and no falling."""
    beside = [t for t in model.other_targets(MESH) if not model.jewel(t)]
    graph = frozenset(Cell(State(model.INSIDE), target) for target in beside)
    found = metrics.figures(MESH, graph)
    assert (found.direct, found.compromise, found.paths) == (len(beside), 0, 0)


def test_a_workload_does_not_fall_to_itself() -> None:
    """A taken-over workload that can call itself is no pair, and no path passes it again."""
    graph = frozenset([_edge("ledger/own/none", "ledger", _POST)])
    assert metrics.compromise(MESH, graph) == frozenset()
    assert metrics.paths(MESH, graph) == {("ledger", "posting to the ledger")}
