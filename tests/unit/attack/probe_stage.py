"""A stage without a mesh: enough to plan attempts from, and verdicts made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from paymesh.attack.loot import Loot
from paymesh.attack.model import Arm, Target, positions
from paymesh.attack.probe import measure, rpcs
from paymesh.attack.probe.agent.plan import REFUSED, Result, State
from paymesh.attack.probe.attempts import Attempt, Tried, Verdict
from paymesh.attack.probe.ground import Ground
from paymesh.attack.rpcs import served
from paymesh.dial import Svid
from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.paths import Paths

ROOT = repository_root()
MESH = load_mesh(ROOT, port_offset=0)
RPCS = served(MESH, ROOT)
GET_BALANCE = Target("ledger", "/paymesh.ledger.v1.LedgerService/GetBalance")
WATCH = Target("ledger", "/grpc.health.v1.Health/Watch")


class Bodies:
    """In place of what was planted: two requests for OpenAccount, one for all others."""

    def requests(self, rpc: str, nonce: str) -> tuple[bytes, ...]:
        """Each names the nonce."""
        count = 2 if rpc.endswith("/OpenAccount") else 1
        return tuple(f"{rpc} {nonce} {number}".encode() for number in range(count))


@dataclasses.dataclass(frozen=True)
class FakeStage:
    """As `Stage`, below any directory."""

    paths: Paths
    root: Path = ROOT
    arm: Arm = "A"
    mesh: Mesh = MESH
    plants: Bodies = dataclasses.field(default_factory=Bodies)
    databases: Mapping[str, tuple[str, int]] = dataclasses.field(
        default_factory=lambda: {
            name: ("127.0.0.1", 18550 + number)
            for number, name in enumerate(("payments", "ledger", "bank_link"))
        }
    )

    @property
    def loot(self) -> Loot:
        """Names in place of secrets."""
        services = [workload.name for workload in self.mesh.services()]
        svids = {
            kind: {name: _svid(f"{kind} {name}") for name in self.mesh.workloads}
            for kind in ("live", "expired", "foreign")
        }
        return Loot(
            **svids,
            tokens={name: f"token of {name}" for name in self.mesh.users.known},
            passwords={name: f"password of {name}" for name in self.databases},
            provider_keys={name: f"key for {name}" for name in self.mesh.external},
            pdp_tokens={name: f"pdp token of {name}" for name in services},
            bundle_tokens={name: f"bundle token of {name}" for name in services},
        )


def _svid(name: str) -> Svid:
    return Svid(name, f"chain of {name}".encode(), f"private key of {name}".encode(), b"")


def ground(home: Path, root: Path | None = None) -> Ground:
    """What attempts are planned from."""
    paths = Paths(home, home / "cache")
    return Ground(FakeStage(paths) if root is None else FakeStage(paths, root))


def planned(where: Ground, position: str) -> list[Attempt]:
    """All attempts of a position."""
    canaries = measure.every_canary(where)
    return [
        *rpcs.attempts(where, RPCS, position),
        *(attempt for canary in canaries for attempt in canary.attempts(position)),
    ]


def planned_everywhere(where: Ground) -> list[Attempt]:
    """All attempts there are."""
    return [attempt for position in positions(MESH) for attempt in planned(where, position)]


def tried(
    attempt: Attempt, state: State = REFUSED, code: int | None = None, attempts: int = 1
) -> Tried:
    """An attempt with a result."""
    result: Result = {"id": attempt.id, "state": state, "code": code, "attempts": attempts}
    return Tried(attempt, result)


def refused(attempt: Attempt) -> Verdict:
    """The usual thing."""
    return Verdict(tried(attempt), answered=False, seen=False)


def done(attempt: Attempt) -> Verdict:
    """It was carried out."""
    return Verdict(tried(attempt, "answered", 0), answered=True, seen=True)
