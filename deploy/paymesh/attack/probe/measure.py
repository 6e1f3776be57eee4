"""Tries every cell at a running arm."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from paymesh.attack.model import INSIDE, cells, positions
from paymesh.attack.positions import Perimeter, perimeter, run_at
from paymesh.attack.probe import controls, leaks, rpcs
from paymesh.attack.probe.agent.plan import Plan, Report
from paymesh.attack.probe.attempts import Tried, Verdict, plan_of
from paymesh.attack.probe.canaries import identities
from paymesh.attack.probe.canaries.base import Canary
from paymesh.attack.probe.canaries.databases import Databases
from paymesh.attack.probe.canaries.decisions import Asking, Checking
from paymesh.attack.probe.canaries.keys import Keys
from paymesh.attack.probe.canaries.platform import Bundles, Envoys, Supervisor
from paymesh.attack.probe.canaries.providers import Providers
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.evidence import AppLog
from paymesh.attack.probe.ground import Ground, Staged
from paymesh.attack.probe.judging import (
    Probed,
    judge_rpc,
    probed,
    require_consistent,
    require_known,
)
from paymesh.attack.rpcs import served

__all__ = ["ProbeError", "Probed", "probe"]

_AGENT = ("-m", "paymesh.attack.probe.agent")
_AGENT_SECONDS = 120.0
# As many as there are processors on a small machine; what they ask needs some too.
_AGENTS_AT_ONCE = 2


def probe(stage: Staged, progress: Callable[[str], None] = lambda _: None) -> Probed:
    """Tries every cell in every known way, and says which executed.

    Args:
        stage: an arm that is up and planted.
        progress: takes a few words about what is being done.

    Raises:
        ProbeError: something was not tried, not answered, or contradicts itself.
        ConfigError: this is not root.
    """
    with perimeter(stage.mesh, stage.paths) as walls:
        return Measurement(stage, walls, progress).run()


class Measurement:
    """One run of `probe`."""

    def __init__(self, stage: Staged, walls: Perimeter, progress: Callable[[str], None]) -> None:
        self._stage = stage
        self._walls = walls
        self._progress = progress
        self._rpcs = served(stage.mesh, stage.root)
        # The one with the most to wait for first.
        self._positions = sorted(positions(stage.mesh), key=lambda name: name != INSIDE)

    def run(self) -> Probed:
        """See `probe`."""
        before = controls.processes(self._stage.paths)
        self._progress("looking for secrets that lie open")
        ground = Ground(self._stage, self._leaks())
        canaries = every_canary(ground)
        logs = {
            workload.name: AppLog(ground, workload.name, self._own_rpc(workload.rpc_service))
            for workload in self._stage.mesh.services()
        }
        verdicts: list[Verdict] = []
        with ThreadPoolExecutor(_AGENTS_AT_ONCE) as pool:
            running = [pool.submit(self.tried_at, ground, canaries, p) for p in self._positions]
            for done, (position, future) in enumerate(
                zip(self._positions, running, strict=True), start=1
            ):
                by_canary = future.result()
                verdicts += _verdicts(canaries, by_canary, logs)
                self._progress(f"probed from {position} ({done} of {len(running)})")
        require_consistent(verdicts)
        found = probed(verdicts, cells(self._stage.mesh, self._rpcs))
        require_known(found, verdicts)
        controls.require_unchanged(before, controls.processes(self._stage.paths))
        controls.require_detection(canaries)
        controls.require_successes(found, verdicts, self._stage.mesh)
        return found

    def _own_rpc(self, rpc_service: str | None) -> str:
        return next(
            rpc
            for of_one in self._rpcs.values()
            for rpc in of_one
            if rpc.startswith(f"/{rpc_service}/")
        )

    def _leaks(self) -> dict[str, dict[str, str]]:
        errands = {position: leaks.attempts(self._stage, position) for position in self._positions}

        def read_at(position: str) -> dict[str, str]:
            tried = errands[position]
            plan: Plan = {
                "certificates": {},
                "headers": {},
                "conversations": [],
                "errands": [errand for _, errand in tried],
            }
            report = self._run(position, plan)
            return leaks.secrets_of(tried, report["results"])

        with ThreadPoolExecutor(_AGENTS_AT_ONCE) as pool:
            return dict(zip(self._positions, pool.map(read_at, self._positions), strict=True))

    def tried_at(
        self, ground: Ground, canaries: Sequence[Canary], position: str
    ) -> list[list[Tried]]:
        """What came of the RPCs, then of each canary."""
        planned = [
            list(rpcs.attempts(ground, self._rpcs, position)),
            *(list(canary.attempts(position)) for canary in canaries),
        ]
        attempts = [attempt for some in planned for attempt in some]
        headers = {**rpcs.headers_of(ground), **identities.HEADERS}
        report = self._run(position, plan_of(attempts, ground.certificates(), headers))
        results = {result["id"]: result for result in report["results"]}
        if len(results) != len(report["results"]) or results.keys() != {a.id for a in attempts}:
            raise ProbeError(f"the report from {position} is not about what was planned")
        return [[Tried(attempt, results[attempt.id]) for attempt in some] for some in planned]

    def _run(self, position: str, plan: Plan) -> Report:
        """An agent's run; that it came to its end is not taken for granted."""
        try:
            done = run_at(
                self._stage.paths,
                self._stage.mesh,
                position,
                _AGENT,
                stdin=json.dumps(plan).encode(),
                timeout_seconds=_AGENT_SECONDS,
                perimeter=self._walls,
            )
        except subprocess.TimeoutExpired:
            raise ProbeError(
                f"the agent at {position} did not end within {_AGENT_SECONDS:.0f} s"
            ) from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise ProbeError(f"the agent at {position} exited with {done.returncode}: {said[-1]}")
        try:
            report: Report = json.loads(done.stdout)
        except ValueError as error:
            raise ProbeError(f"the agent at {position} reports nothing readable") from error
        return report


def every_canary(ground: Ground) -> list[Canary]:
    """Everything that is no RPC."""
    kinds = (
        Databases,
        Providers,
        Asking,
        Checking,
        Envoys,
        Bundles,
        identities.Svids,
        identities.Minting,
        Keys,
        Supervisor,
    )
    return [kind(ground) for kind in kinds]


def _verdicts(
    canaries: Sequence[Canary], tried: Sequence[Sequence[Tried]], logs: Mapping[str, AppLog]
) -> Iterator[Verdict]:
    """What the targets show of one position's attempts."""
    calls, *others = tried
    for name, log in logs.items():
        log.read_until(functools.partial(_are_logged, calls, name, log))
    for call in calls:
        log = logs[call.attempt.target.destination]
        yield judge_rpc(call, log.lines(call.attempt.id))
    for canary, some in zip(canaries, others, strict=True):
        yield from canary.judge(some)


def _are_logged(calls: Sequence[Tried], workload: str, log: AppLog) -> bool:
    """Whether every call that was answered as done is there: a stream that was left is
    logged when its app has noticed.
    """
    return all(
        log.lines(call.attempt.id)
        for call in calls
        if call.attempt.target.destination == workload
        and call.result["state"] == "answered"
        and call.result.get("code") == 0
    )
