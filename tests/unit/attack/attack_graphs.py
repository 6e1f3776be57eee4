"""Graphs and results made by hand, for tests of what is counted and said of them."""

from __future__ import annotations

from collections.abc import Mapping

from paymesh.attack import metrics, model
from paymesh.attack.model import Arm, Cell, Graph, State, Target
from paymesh.attack.report.blocks import Universe
from paymesh.attack.report.remaining import Explained
from paymesh.attack.report.result import Result
from paymesh.mesh import load_mesh

MESH = load_mesh(port_offset=0)
POST = "/paymesh.ledger.v1.LedgerService/PostTransfer"
BALANCE = "/paymesh.ledger.v1.LedgerService/GetBalance"
PAY = "/paymesh.payments.v1.PaymentsService/CreatePayment"
RPCS = {
    "payments": [PAY, "/paymesh.payments.v1.PaymentsService/GetPayment"],
    "ledger": [POST, BALANCE],
    "bank-link": ["/paymesh.bank_link.v1.BankLinkService/GetLink"],
}
CELLS = list(model.cells(MESH, RPCS))
UNIVERSE = Universe.of(MESH)


def edge(state: str, destination: str, method: str) -> Cell:
    """A cell; the state as it is printed."""
    return Cell(State(*state.split("/")), Target(destination, method))


# Whoever is inside can do anything at all to anybody.
OPEN: Graph = frozenset(cell for cell in CELLS if cell.target.destination in MESH.workloads)
# Users pay; payments posts with its own certificate; the ledger writes its database.
NARROW: Graph = frozenset(
    [
        edge("outside/none/user:alice", "gateway", model.FORWARD),
        edge("inside/none/user:alice", "gateway", model.FORWARD),
        edge("outside/none/user:alice", "payments", PAY),
        edge("payments/own/none", "ledger", POST),
        edge("payments/own/user:alice", "ledger", POST),
        edge("ledger/own/database:ledger", "database:ledger", model.WRITE),
    ]
)


def result(graphs: Mapping[Arm, Graph]) -> Result:
    """A result of these graphs; each edge of arm E has a reason of its own destination."""
    return Result(
        universe=UNIVERSE,
        cells=len(CELLS),
        graphs=graphs,
        figures={arm: metrics.figures(MESH, graph) for arm, graph in graphs.items()},
        remaining=tuple(
            Explained(cell, f"Because of {cell.target.destination}.")
            for cell in sorted(graphs.get("E", ()))
        ),
    )
