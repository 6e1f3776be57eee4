"""What must be so for a measurement to be worth anything: the probes can succeed, and nothing
broke meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paymesh.attack.model import (
    NONE,
    OUTSIDE,
    OWN,
    Cell,
    Graph,
    State,
    Target,
    other_targets,
)
from paymesh.attack.probe.agent.work import carry_out
from paymesh.attack.probe.attempts import Tried, Verdict, plan_of
from paymesh.attack.probe.canaries.base import Canary
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.judging import Probed, require_consistent
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import status

_UNIMPLEMENTED = 12
_ROOT = "root"
# What nobody has a business with, in any arm: root shows that the probe would have seen it.
_CLOSED = frozenset({"spire-server", "policy-key", "token-issuer", "supervisor"})
# Legitimate in every arm.
ALWAYS: Graph = frozenset(
    (
        Cell(
            State(OUTSIDE, NONE, "user:alice"),
            Target("payments", "/paymesh.payments.v1.PaymentsService/ListPayments"),
        ),
        Cell(
            State("payments", OWN, NONE),
            Target("ledger", "/paymesh.ledger.v1.LedgerService/GetBalance"),
        ),
    )
)


def processes(paths: Paths) -> Mapping[str, object]:
    """Each process of the mesh by name: its pid and when it was started.

    Raises:
        ProbeError: there is none.
    """
    found = status.read(paths)
    if found is None:
        raise ProbeError("no mesh is up here")
    return {process.name: process.id for process in found.processes}


def require_unchanged(before: Mapping[str, object], after: Mapping[str, object]) -> None:
    """No process ended meanwhile.

    Raises:
        ProbeError: one did, so that what it refused may be nothing but its absence.
    """
    changed = sorted(name for name in before if before[name] != after.get(name))
    if changed:
        raise ProbeError(f"ended or started during the probes: {', '.join(changed)}")


def require_successes(found: Probed, verdicts: Sequence[Verdict], mesh: Mesh) -> None:
    """Every target executes for somebody, who may be who owns it.

    Raises:
        ProbeError: one never does, so that refusals there prove nothing.
    """
    missing = sorted(f"{cell.state} at {cell.target}" for cell in ALWAYS - found.graph)
    if missing:
        raise ProbeError(f"what is allowed in every arm does not work: {'; '.join(missing)}")
    reached = {cell.target for cell in found.graph}
    unimplemented = {
        verdict.tried.attempt.target
        for verdict in verdicts
        if verdict.tried.result.get("code") == _UNIMPLEMENTED
        and verdict.tried.attempt.position == verdict.tried.attempt.target.destination
    }
    tried = {verdict.tried.attempt.target for verdict in verdicts}
    wanted = {target for target in tried if target.is_rpc} - unimplemented
    wanted |= {t for t in other_targets(mesh) if t.destination not in _CLOSED}
    if never := sorted(str(target) for target in wanted - reached):
        raise ProbeError(f"nobody at all makes these execute: {', '.join(never)}")


def require_detection(canaries: Sequence[Canary]) -> None:
    """Root, whom no file and no socket is closed to, makes execute what nobody else may.

    Raises:
        ProbeError: not even root does, so that the probe is at fault.
    """
    for canary in canaries:
        attempts = [a for a in canary.attempts(_ROOT) if a.target.destination in _CLOSED]
        plan = plan_of(attempts, {}, {})
        results = carry_out(plan)["results"]
        by_id = {result["id"]: result for result in results}
        verdicts = list(canary.judge([Tried(attempt, by_id[attempt.id]) for attempt in attempts]))
        require_consistent(verdicts)
        for target in {attempt.target for attempt in attempts}:
            if not any(v.seen for v in verdicts if v.tried.attempt.target == target):
                raise ProbeError(f"not even root is seen to make {target} execute")
