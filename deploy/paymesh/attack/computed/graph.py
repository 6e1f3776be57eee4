"""The whole graph of one checkout."""

from __future__ import annotations

from pathlib import Path

from paymesh import binaries
from paymesh.attack.computed.apps import Apps
from paymesh.attack.computed.calls import Calls
from paymesh.attack.computed.doors import PLAINTEXT, Doors
from paymesh.attack.computed.filters import Filters
from paymesh.attack.computed.machine import Machine
from paymesh.attack.computed.messages import Call
from paymesh.attack.computed.oracle import Oracle, Pending, policy_of
from paymesh.attack.computed.others import Others
from paymesh.attack.computed.passage import Passage
from paymesh.attack.computed.site import Site, read_site
from paymesh.attack.model import FORWARD, Arm, Graph, cells
from paymesh.errors import SetupError
from paymesh.paths import default_paths

# An answer can raise further questions: a payment asks two services, each of which asks.
_MOST_ROUNDS = 20


def computed(root: Path, arm: Arm) -> Graph:
    """The edges that the files of a checkout allow; nothing is started but the policy's evaluation.

    Args:
        root: the checkout, or the copy of it that an arm runs from.
        arm: which it has to be.

    Raises:
        ConfigError: a file is missing, says something impossible or nothing that can be judged.
        SetupError: the decision point is not built, or the policy does not compile.
    """
    site = read_site(root, arm)
    machine = Machine(site)
    pdp = binaries.built(default_paths(), binaries.PDP)
    with policy_of(root, site.mesh, pdp) as oracle:
        return _graph(site, machine, oracle)


def _graph(site: Site, machine: Machine, oracle: Oracle) -> Graph:
    passage = _passage(site, machine, oracle)
    calls = Calls(site, machine, passage, oracle.claims())
    others = Others(site, machine, oracle)
    for _ in range(_MOST_ROUNDS):
        found, is_complete = set(), True
        made = {}
        for cell in cells(site.mesh, site.rpcs):
            if cell.target.is_rpc or cell.target.method == FORWARD:
                if cell.state not in made:
                    made[cell.state] = calls.made(cell.state)
                if cell.target in made[cell.state]:
                    found.add(cell)
                continue
            try:
                if others.opens(cell.state, cell.target):
                    found.add(cell)
            except Pending:
                is_complete = False
        is_complete = not calls.forget_unfinished() and is_complete
        if not oracle.answer() and is_complete:
            return frozenset(found)
    raise SetupError(f"the policy's answers still raise questions after {_MOST_ROUNDS} rounds")


def _passage(site: Site, machine: Machine, oracle: Oracle) -> Passage:
    doors = Doors(site, machine)
    filters = Filters(oracle, site.mesh.users)

    def sends(workload: str, socket: str, call: Call) -> str | None:
        """From a workload's app to a socket of its own sidecar."""
        for door in doors.at_pipe(f"run/{workload}/{socket}"):
            principal = doors.admitted(door, PLAINTEXT)
            if principal is not None:
                return passage.end(door, principal, call)
        return None

    apps = Apps(site.mesh, oracle.permits, sends)
    passage = Passage(site, machine, doors, filters, apps)
    return passage
