"""The terms of docs/attack-paths.md: states, targets, cells, arms; and which there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from paymesh.mesh import Mesh

Arm = Literal["A", "B", "C", "D", "E"]
ARMS: tuple[Arm, ...] = ("A", "B", "C", "D", "E")

OUTSIDE, INSIDE, OPERATOR = "outside", "inside", "operator"
NONE, OWN = "none", "own"

FORWARD = "forward"
# Not found in any proto: methods of what is no gRPC service.
WRITE, USE, ASK, CHECK, ADMINISTER = "write", "use", "ask", "check", "administer"
FETCH, CONTROL, MINT, SIGN = "fetch", "control", "mint", "sign"


@dataclasses.dataclass(frozen=True, order=True)
class State:
    """What an attacker is and has.

    Attributes:
        position: `outside`, `inside`, `operator`, or a workload that is taken over.
        identity: `none`, `own`, `live:W`, `expired:W` or `foreign:W`.
        credential: `none`, `user:NAME`, `database:NAME`, `provider:NAME`,
            `decision-point:W` or `bundle:W`.
    """

    position: str
    identity: str = NONE
    credential: str = NONE

    @property
    def identity_kind(self) -> str:
        """`none`, `own`, `live`, `expired` or `foreign`."""
        return self.identity.partition(":")[0]

    @property
    def identity_of(self) -> str | None:
        """The workload that a stolen or forged certificate names, None for the others."""
        return self.identity.partition(":")[2] or None

    @property
    def user(self) -> str | None:
        """The end user whose token is held."""
        kind, _, name = self.credential.partition(":")
        return name if kind == "user" else None

    def __str__(self) -> str:
        return f"{self.position}/{self.identity}/{self.credential}"


@dataclasses.dataclass(frozen=True, order=True)
class Target:
    """Something that can be made to do something: a workload's RPC by its whole path, or
    `database:NAME/write` and the like.
    """

    destination: str
    method: str

    @property
    def is_rpc(self) -> bool:
        """Whether `method` is `/package.Service/Method`."""
        return self.method.startswith("/")

    def __str__(self) -> str:
        return f"{self.destination}{'' if self.is_rpc else '/'}{self.method}"


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One question: whether this state can make this target execute."""

    state: State
    target: Target


Graph = frozenset[Cell]
"""The cells that are edges."""


def start_identities(mesh: Mesh, position: str) -> list[str]:
    """The identities that are tried at a position."""
    if position in mesh.workloads:
        return [NONE, OWN]
    if position == OPERATOR:
        return [NONE]
    kinds = ("live", "expired", "foreign")
    return [NONE, *(f"{kind}:{name}" for kind in kinds for name in mesh.workloads)]


def positions(mesh: Mesh) -> list[str]:
    """Everywhere that is tried from."""
    return [OUTSIDE, INSIDE, OPERATOR, *mesh.workloads]


def users(mesh: Mesh) -> list[str]:
    """`none` and a token of each end user, as credentials."""
    return [NONE, *(f"user:{name}" for name in mesh.users.known)]


def caller_states(mesh: Mesh) -> list[State]:
    """Every state that RPCs are tried from, and that M2 and M3 start from."""
    return [
        State(position, identity, credential)
        for position in positions(mesh)
        for identity in start_identities(mesh, position)
        for credential in users(mesh)
    ]


def rpc_targets(mesh: Mesh, rpcs: Mapping[str, Iterable[str]]) -> list[Target]:
    """`rpcs` has, by workload, the whole paths of what its app serves."""
    return [Target(w.name, rpc) for w in mesh.services() for rpc in sorted(rpcs[w.name])]


def other_targets(mesh: Mesh) -> list[Target]:
    """Everything that is no RPC of a service."""
    services = [workload.name for workload in mesh.services()]
    databases = [w.database for w in mesh.workloads.values() if w.database]
    return [
        *(Target(f"database:{name}", WRITE) for name in databases),
        *(Target(f"provider:{name}", USE) for name in mesh.external),
        *(Target(f"decision-point:{name}", ASK) for name in services),
        *(Target(f"decision-point:{name}", CHECK) for name in services),
        *(Target(f"envoy:{workload.name}", ADMINISTER) for workload in mesh.sidecars()),
        Target("bundle-server", FETCH),
        *(Target("spire-agent", f"svid:{name}") for name in mesh.workloads),
        Target("spire-server", MINT),
        Target("policy-key", SIGN),
        Target("token-issuer", SIGN),
        Target("supervisor", CONTROL),
    ]


def gateways(mesh: Mesh) -> list[Target]:
    """What the gateway can be made to do: pass a call on."""
    return [Target(w.name, FORWARD) for w in mesh.workloads.values() if w.kind == "gateway"]


def opened_by(mesh: Mesh, target: Target) -> list[str]:
    """The credentials that are tried at a target that is no RPC; `none` is the first."""
    kind, _, name = target.destination.partition(":")
    if kind in {"database", "provider"} or (kind == "decision-point" and target.method == ASK):
        return [NONE, f"{kind}:{name}"]
    if target.destination == "bundle-server":
        return [NONE, *(f"bundle:{workload.name}" for workload in mesh.services())]
    return [NONE]


def held_by(mesh: Mesh, workload: str) -> list[str]:
    """What is in the hands of who takes a workload over, beside its SVID: what its directory
    holds, and the users' tokens that pass through it.
    """
    found = mesh.workloads[workload]
    held = [*users(mesh)]
    if found.kind == "service":
        held += [f"decision-point:{workload}", f"bundle:{workload}"]
    if found.database:
        held.append(f"database:{found.database}")
    return [*held, *(f"provider:{name}" for name in found.egress)]


def cells(mesh: Mesh, rpcs: Mapping[str, Iterable[str]]) -> Iterator[Cell]:
    """Every cell of the definition, in a fixed order."""
    for state in caller_states(mesh):
        for target in (*gateways(mesh), *rpc_targets(mesh, rpcs)):
            yield Cell(state, target)
    for position in positions(mesh):
        identity = OWN if position in mesh.workloads else NONE
        for target in other_targets(mesh):
            for credential in opened_by(mesh, target):
                yield Cell(State(position, identity, credential), target)


def posts_to_ledger(target: Target) -> bool:
    """Whether this target is that jewel."""
    return target.method.endswith(".LedgerService/PostTransfer")


def uses_bank_link(target: Target) -> bool:
    """Whether this target is that jewel: the canary of CreatePayment pays from a bank link."""
    return target.method.endswith(".PaymentsService/CreatePayment") or target == Target(
        "provider:bank-data", USE
    )


def jewel(target: Target) -> str | None:
    """The crown jewel that a target is, if it is one."""
    if posts_to_ledger(target):
        return "posting to the ledger"
    if uses_bank_link(target):
        return "using a bank link"
    if target.method == WRITE:
        return f"writing {target.destination}"
    if target == Target("policy-key", SIGN):
        return "the policy signing key"
    if target == Target("spire-server", MINT):
        return "SPIRE's CA"
    return None
