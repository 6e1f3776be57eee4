"""Many cells in few lines: cells that differ only in who is asking, put together exactly."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from paymesh.attack import model
from paymesh.attack.model import NONE, Cell, State, Target
from paymesh.mesh import Mesh

_NOT_WORKLOADS = (model.OUTSIDE, model.INSIDE, model.OPERATOR)


@dataclasses.dataclass(frozen=True)
class Universe:
    """What there is to try, in the order in which it is shown.

    Attributes:
        identities: by position, those that RPCs are tried with.
        users: the credentials that RPCs are tried with.
    """

    identities: Mapping[str, tuple[str, ...]]
    users: tuple[str, ...]

    @classmethod
    def of(cls, mesh: Mesh) -> Universe:
        """Of a mesh."""
        return cls(
            {name: tuple(model.start_identities(mesh, name)) for name in model.positions(mesh)},
            tuple(model.users(mesh)),
        )

    @property
    def every_identity(self) -> tuple[str, ...]:
        """Those of every position, each once."""
        return tuple(dict.fromkeys(n for names in self.identities.values() for n in names))

    def in_order(self, names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
        """`names` in the order of `known`; what is not known comes last, sorted."""
        places = {name: place for place, name in enumerate(known)}
        return tuple(sorted(names, key=lambda name: (places.get(name, len(places)), name)))


@dataclasses.dataclass(frozen=True)
class Block:
    """Every combination of these positions, identities and credentials, at one target."""

    positions: tuple[str, ...]
    identities: tuple[str, ...]
    credentials: tuple[str, ...]
    target: Target

    def cells(self) -> Iterator[Cell]:
        """The cells that it stands for."""
        for position in self.positions:
            for identity in self.identities:
                for credential in self.credentials:
                    yield Cell(State(position, identity, credential), self.target)

    def __len__(self) -> int:
        return len(self.positions) * len(self.identities) * len(self.credentials)


def blocks(universe: Universe, cells: Iterable[Cell], *, merge: bool = False) -> list[Block]:
    """The cells in blocks, each cell in one, in a fixed order.

    Args:
        universe: gives the order.
        cells: which.
        merge: puts positions together where the same can be done from them.
    """
    users: dict[tuple[str, Target, str], set[str]] = defaultdict(set)
    for cell in cells:
        state = cell.state
        users[state.position, cell.target, state.identity].add(state.credential)
    identities: dict[tuple[str, Target, frozenset[str]], set[str]] = defaultdict(set)
    for (position, target, identity), credentials in users.items():
        identities[position, target, frozenset(credentials)].add(identity)
    positions: dict[tuple[Target, frozenset[str], frozenset[str], str], set[str]]
    positions = defaultdict(set)
    for (position, target, held), names in identities.items():
        positions[target, frozenset(names), held, "" if merge else position].add(position)
    found = [
        Block(
            universe.in_order(places, universe.identities),
            universe.in_order(names_, universe.every_identity),
            universe.in_order(held, universe.users),
            target,
        )
        for (target, names_, held, _), places in positions.items()
    ]
    return sorted(found, key=lambda block: place(universe, block))


def place(universe: Universe, block: Block) -> tuple[object, ...]:
    """Outsiders first, then by target."""
    order = [*universe.identities, *block.positions]
    places = tuple(order.index(name) for name in block.positions)
    return places, block.target, block.identities, block.credentials


def asking(universe: Universe, block: Block) -> str:
    """The states of a block in words: `outside, inside with live:ledger as alice`."""
    return in_words(
        universe, block.positions, certificates(universe, block), credentials(universe, block)
    )


def in_words(universe: Universe, positions: Sequence[str], *rest: str) -> str:
    """Positions, and what is had there in words."""
    workloads = [name for name in universe.identities if name not in _NOT_WORKLOADS]
    places = list(positions)
    if set(workloads) <= set(positions):
        places = [*(name for name in positions if name not in workloads), "every workload"]
    return " ".join(filter(None, (", ".join(places), *rest)))


def certificates(universe: Universe, block: Block) -> str:
    """`with any certificate or none`, `with live:ledger`; nothing where none is shown."""
    known = {name for place in block.positions for name in universe.identities.get(place, ())}
    if set(block.identities) == known and len(known) > 1:
        return "with any certificate or none"
    words = []
    left = list(block.identities)
    kinds = dict.fromkeys(name.partition(":")[0] for name in left if ":" in name)
    for kind in kinds:
        whole = [name for name in universe.every_identity if name.startswith(f"{kind}:")]
        if set(whole) <= set(left):
            words.append(f"any {kind}")
            left = [name for name in left if name not in whole]
    words += ["none" if name == NONE else name for name in left]
    return "" if words == ["none"] else f"with {', '.join(words)}"


def credentials(universe: Universe, block: Block) -> str:
    """`as alice, bob`, `as anybody or nobody`, `holding bundle:ledger`; nothing for none."""
    held = block.credentials
    if held == (NONE,):
        return ""
    if set(held) == set(universe.users):
        return "as anybody or nobody"
    names = [name.partition(":")[2] for name in held if name.startswith("user:")]
    others = [name for name in held if name != NONE and not name.startswith("user:")]
    tokens = {name for name in universe.users if name != NONE}
    as_ = "any user" if tokens and tokens <= set(held) else ", ".join(names)
    words = [f"as {as_}" if names else "", f"holding {', '.join(others)}" if others else ""]
    words.append("or nothing" if NONE in held else "")
    return " ".join(filter(None, words))
