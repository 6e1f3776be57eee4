"""Cells in bulk, to say which edges an edit should add."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from attack_copies import ROOT

from paymesh.attack import model
from paymesh.attack.model import INSIDE, NONE, OPERATOR, OWN, Cell, State, Target
from paymesh.mesh import load_mesh

MESH = load_mesh(ROOT, port_offset=0)
PAYMENTS = "/paymesh.payments.v1.PaymentsService/"
LEDGER = "/paymesh.ledger.v1.LedgerService/"
LINKS = "/paymesh.bank_link.v1.BankLinkService/"
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"
TOKENS = [f"user:{name}" for name in MESH.users.known]
EVERY_CREDENTIAL = [NONE, *TOKENS]
ON_THE_MACHINE = [INSIDE, OPERATOR, *MESH.workloads]
EVERYWHERE = model.positions(MESH)


def edges(
    targets: Iterable[Target],
    positions: Iterable[str],
    credentials: Collection[str] = EVERY_CREDENTIAL,
    identities: Collection[str] | None = None,
) -> set[Cell]:
    """Cells of every combination; of all identities of a position if none are given."""
    targets = list(targets)
    return {
        Cell(State(position, identity, credential), target)
        for position in positions
        for identity in model.start_identities(MESH, position)
        if identities is None or identity in identities
        for credential in credentials
        for target in targets
    }


def others(
    destination: str,
    method: str,
    positions: Collection[str] = tuple(ON_THE_MACHINE),
    credential: str = NONE,
) -> set[Cell]:
    """The same of a target that is no RPC, at which a workload is tried with its own SVID."""
    target = Target(destination, method)
    return {
        Cell(State(position, OWN if position in MESH.workloads else NONE, credential), target)
        for position in positions
    }


def rpcs(workload: str, prefix: str, *methods: str) -> list[Target]:
    """RPCs of a workload."""
    return [Target(workload, f"{prefix}{method}") for method in methods]


def as_workload(workload: str) -> dict[str, Any]:
    """Who is this workload, straight at a port."""
    return {"positions": [INSIDE, workload], "identities": [OWN, f"live:{workload}"]}


def shown(cells: Iterable[Cell]) -> list[str]:
    """For people to compare."""
    return sorted(f"{cell.state} → {cell.target}" for cell in cells)
