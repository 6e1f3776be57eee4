"""M1, M2 and M3 of docs/attack-paths.md, from a graph: pure functions.

What the page leaves open is settled here, each time so that the mesh looks no better for it:

- What is held need not be shown: a start falls back to less, to no certificate or no token,
  whenever that gets further. (Otherwise a stolen SVID together with a token would count as
  harmless wherever the two do not go together.)
- A workload falls when any method of its own executes, health and reflection too; the gateway
  when it passes a call on. Whatever stands beside a workload (its decision point, its Envoy's
  administration) counts in M1 and makes nothing fall.
- A workload that is a start does not fall to itself.
- What is held is not carried from one workload to the next: a hop is made with what the
  workload before it holds. Carrying passwords along would add paths to databases that listen on
  the network, which is to say to the perimeter's count.
- A path ends at its jewel, and several ways to use the same jewel are one path.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from paymesh.attack import model
from paymesh.attack.model import NONE, OWN, Cell, Graph, State
from paymesh.mesh import Mesh

MAX_HOPS = 4

NOBODY, SOMEBODY = "without a user's token", "with a user's token"
TAKEN_OVER = "a workload taken over"
STARTS = (NOBODY, SOMEBODY, TAKEN_OVER)
"""What an attack begins with: the first two at `outside`, `inside` and `operator`."""

Path = tuple[str, ...]
"""The start's name, the workloads that fall one after the other, the jewel."""


@dataclasses.dataclass(frozen=True)
class Start:
    """Where an attack begins: a state, by whose text it is named, or a workload taken over."""

    name: str
    kind: str
    states: tuple[State, ...]
    workload: str | None = None


@dataclasses.dataclass(frozen=True)
class Figures:
    """What is counted of one graph.

    Attributes:
        direct: M1, edges.
        minimal: M1 without the edges that the same position has with less.
        compromise: M2, pairs of a start and a workload that falls to it.
        paths: M3, paths of at most `MAX_HOPS` hops to a jewel.
        by_jewel: M3 by jewel; every jewel that some graph of this mesh can have.
        by_start: M1, M2 and M3 by what an attack begins with, `STARTS`.
    """

    direct: int
    minimal: int
    compromise: int
    paths: int
    by_jewel: Mapping[str, int]
    by_start: Mapping[str, tuple[int, int, int]]


def figures(mesh: Mesh, graph: Graph) -> Figures:
    """Counts everything."""
    found, pairs = paths(mesh, graph), compromise(mesh, graph)
    by_jewel = Counter(path[-1] for path in found)
    kinds = {start.name: start.kind for start in starts(mesh)}
    direct = Counter(_kind(mesh, cell.state) for cell in graph)
    falling = Counter(kinds[name] for name, _ in pairs)
    leading = Counter(kinds[path[0]] for path in found)
    return Figures(
        direct=len(graph),
        minimal=len(minimal(graph)),
        compromise=len(pairs),
        paths=len(found),
        by_jewel={name: by_jewel[name] for name in jewels(mesh)},
        by_start={kind: (direct[kind], falling[kind], leading[kind]) for kind in STARTS},
    )


def _kind(mesh: Mesh, state: State) -> str:
    if state.position in mesh.workloads:
        return TAKEN_OVER
    return SOMEBODY if state.user else NOBODY


def minimal(graph: Graph) -> Graph:
    """M1 minimal: the edges that the same position does not have with less."""
    return frozenset(
        cell
        for cell in graph
        if not any(
            Cell(less, cell.target) in graph for less in weaker(cell.state) if less != cell.state
        )
    )


def weaker(state: State) -> list[State]:
    """The state itself, and without its identity, its credential, or both."""
    identities = dict.fromkeys((state.identity, NONE))
    credentials = dict.fromkeys((state.credential, NONE))
    return [State(state.position, i, c) for i in identities for c in credentials]


def in_hands(mesh: Mesh, workload: str) -> list[State]:
    """The states of who has taken a workload over: its SVID or none, and all that it holds."""
    held = model.held_by(mesh, workload)
    return [
        State(workload, identity, credential) for identity in (OWN, NONE) for credential in held
    ]


def starts(mesh: Mesh) -> list[Start]:
    """Where attacks begin: each state outside the workloads, and each workload taken over."""
    return [
        *(
            Start(str(state), _kind(mesh, state), tuple(weaker(state)))
            for state in model.caller_states(mesh)
            if state.position not in mesh.workloads
        ),
        *(Start(name, TAKEN_OVER, tuple(in_hands(mesh, name)), name) for name in mesh.workloads),
    ]


def jewels(mesh: Mesh) -> list[str]:
    """The crown jewels that there are, in the order of the page: ledger, link, databases, keys."""
    databases = [w.database for w in mesh.workloads.values() if w.database]
    return [
        "posting to the ledger",
        "using a bank link",
        *(f"writing database:{name}" for name in databases),
        "the policy signing key",
        "SPIRE's CA",
    ]


def compromise(mesh: Mesh, graph: Graph) -> frozenset[tuple[str, str]]:
    """M2: (start, workload that falls to it), whatever number of others fall before it."""
    steps = _Steps.of(mesh, graph)
    pairs = set()
    for start in starts(mesh):
        fallen: set[str] = set()
        waiting = list(steps.workloads(start.states))
        while waiting:
            workload = waiting.pop()
            if workload not in fallen:
                fallen.add(workload)
                waiting += steps.from_workload[workload]
        pairs |= {(start.name, workload) for workload in fallen if workload != start.workload}
    return frozenset(pairs)


def paths(mesh: Mesh, graph: Graph) -> frozenset[Path]:
    """M3: the loop-free paths of at most `MAX_HOPS` hops from a start to a jewel."""
    steps = _Steps.of(mesh, graph)
    return frozenset(
        (start.name, *rest)
        for start in starts(mesh)
        for rest in steps.rests(start.states, frozenset(filter(None, [start.workload])), MAX_HOPS)
    )


@dataclasses.dataclass(frozen=True)
class _Steps:
    """What one hop can reach: workloads that fall and jewels, by state."""

    falls: Mapping[State, frozenset[str]]
    jewels: Mapping[State, frozenset[str]]
    hands: Mapping[str, tuple[State, ...]]
    from_workload: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, mesh: Mesh, graph: Graph) -> _Steps:
        """Sorts a graph's edges."""
        falls: dict[State, set[str]] = defaultdict(set)
        jewels: dict[State, set[str]] = defaultdict(set)
        for cell in graph:
            if cell.target.destination in mesh.workloads:
                falls[cell.state].add(cell.target.destination)
            jewel = model.jewel(cell.target)
            if jewel is not None:
                jewels[cell.state].add(jewel)
        hands = {name: tuple(in_hands(mesh, name)) for name in mesh.workloads}
        return cls(
            {state: frozenset(names) for state, names in falls.items()},
            {state: frozenset(names) for state, names in jewels.items()},
            hands,
            {
                name: frozenset().union(*(falls.get(state, ()) for state in states))
                for name, states in hands.items()
            },
        )

    def workloads(self, states: tuple[State, ...]) -> frozenset[str]:
        """The workloads that fall to who has these states."""
        return frozenset().union(*(self.falls.get(state, ()) for state in states))

    def rests(
        self, states: tuple[State, ...], passed: frozenset[str], hops: int
    ) -> Iterator[tuple[str, ...]]:
        """How paths go on from here: workloads, then a jewel, in at most `hops` hops."""
        for jewel in frozenset().union(*(self.jewels.get(state, ()) for state in states)):
            yield (jewel,)
        if hops == 1:
            return
        for workload in self.workloads(states) - passed:
            for rest in self.rests(self.hands[workload], passed | {workload}, hops - 1):
                yield (workload, *rest)
