"""What became of the mesh: nothing that was not granted ran, and everything is as it was."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from paymesh import dial
from paymesh.attack.corpus.observe import Execution, Observer
from paymesh.attack.fuzz.doors import Door
from paymesh.attack.fuzz.vitals import Vitals
from paymesh.calls import Catalogue
from paymesh.errors import ConfigError, PaymeshError
from paymesh.grants import load_grants
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import control

# The mesh as a whole is not there any more: there is nothing to go on with.
GONE = "gone"
_DIED = "died"
_READY_SECONDS = 60.0
_HEALTH = "/grpc.health.v1.Health/"
# Of an app: it met what it did not expect.
_ERRORS = frozenset({"INTERNAL", "UNKNOWN"})
_CONTROLS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("statements", "ledger/ListBalances", {"legal_entity": "acme", "page_size": 1}),
    ("alice", "payments/ListPayments", {"page_size": 1}),
    ("alice", "bank-link/ListLinks", {"page_size": 1}),
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that must not be; `traces` are the trace ids of what it came from, if known."""

    kind: str
    what: str
    traces: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Judge:
    """Looks at a mesh that nobody else uses meanwhile, again and again."""

    def __init__(self, paths: Paths, mesh: Mesh) -> None:
        """Raises:
        ConfigError: the mesh is not up, or is another user's.
        """
        self._paths, self._mesh = paths, mesh
        self._catalogue = Catalogue.load()
        self._open = contextlib.ExitStack()
        self._observer = self._open.enter_context(Observer(paths, mesh))
        self.vitals = Vitals(paths, mesh)
        self._open.callback(self.vitals.close)
        self._svid = dial.fetch_svid(paths, mesh, "statements")
        self._before: list[Door] = []
        self._grants = {(grant.caller, grant.rpc) for grant in load_grants().grants}
        # Which workload was asked, by permission, under which trace id: it asks others under it.
        self._began: set[tuple[str | None, str]] = set()
        self._decided = self._decisions_counted()
        self._recorded = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def verdict(self, asked: Iterable[Door], *, thorough: bool = False) -> list[Finding]:
        """Everything that went wrong since the last time; nothing may be under way any more.

        Args:
            asked: the doors that something was sent to since.
            thorough: whether open connections are looked at too, which takes a second.
        """
        found = list(self._alive(thorough=thorough))
        ours = {secrets.token_hex(16): one for one in _CONTROLS}
        for trace, (who, rpc, request) in ours.items():
            found += self._control(trace, who, rpc, request)
        doors = list(asked)
        try:
            found += self._executed([*doors, *self._before], set(ours))
        except ConfigError as error:
            found.append(Finding(GONE, str(error)))
        self._before = doors
        if not any(finding.kind == _DIED for finding in found):
            found += self._dead()
        found += [Finding("words", line) for line in self.vitals.last_words()]
        found += [Finding("memory", line) for line in self.vitals.grown()]
        return found

    def _alive(self, *, thorough: bool) -> Iterator[Finding]:
        """Every process, and no connection that nobody has any more."""
        dead = list(self._dead())
        yield from dead
        if dead:
            return
        hanging = self.vitals.hanging(connections=thorough)
        if hanging:
            yield Finding("hanging", hanging)
        yield from self._unrecorded()

    def _dead(self) -> Iterator[Finding]:
        """Processes that died. Waits until there are others in their place."""
        died = self.vitals.died()
        if not died:
            return
        yield Finding(_DIED, ", ".join(died))
        with contextlib.suppress(PaymeshError):
            control.wait_ready(self._paths, timeout_seconds=_READY_SECONDS)
        # What the new ones count begins at nothing.
        self.vitals.begin_again()
        self._observer.decisions()
        self._decided, self._recorded = self._decisions_counted(), 0

    def _unrecorded(self) -> Iterator[Finding]:
        """Each decision that an Envoy acted on stands in the decision log. What nobody waited for
        any more is decided and recorded too, so that there may be more.
        """
        acted = self._decisions_counted() - self._decided
        self._recorded += len(self._observer.decisions())
        if acted > self._recorded:
            yield Finding("decisions", f"{acted} were acted on, {self._recorded} are on record")

    def _decisions_counted(self) -> int:
        return sum(counts.decided for counts in self.vitals.counts().values())

    def _control(
        self, trace: str, who: str, rpc: str, request: Mapping[str, Any]
    ) -> Iterator[Finding]:
        """A call that has to succeed."""
        metadata = [("traceparent", f"00-{trace}-{secrets.token_hex(8)}-01")]
        if who in self._mesh.users.known:
            channel = dial.gateway(self._paths, self._mesh)
            metadata += dial.user_metadata(self._paths, self._mesh, who)
        else:
            channel = dial.direct(self._mesh, rpc.partition("/")[0], self._svid)
        with channel:
            reply = self._catalogue.send(channel, rpc, request, metadata=metadata)
        if not reply.ok:
            yield Finding("control", f"{who} cannot make {rpc}: {reply.code} {reply.reason or ''}")

    def _executed(self, asked: list[Door], ours: set[str]) -> Iterator[Finding]:
        """Nothing ran but our own calls, what these callers may ask for, and what follows."""
        granted = {(door.caller, call.rpc) for door in asked for call in door.menu.allowed}
        seen = [
            (execution, execution.caller.rpartition("/")[2] or None)
            for execution in self._observer.executions(secrets.token_hex(16))
            if execution.trace not in ours and not self._is_health(execution)
        ]
        for execution, caller in seen:
            if (caller, execution.rpc) in granted:
                self._began.add((execution.workload, execution.trace))
        for execution, caller in seen:
            traces = frozenset({execution.trace})
            what = f"{execution.workload} began {execution.rpc} from {caller}: {execution.code}"
            follows = (caller, execution.trace) in self._began
            if (caller, execution.rpc) not in (self._grants if follows else granted):
                yield Finding("executed", what, traces)
            elif execution.code in _ERRORS:
                yield Finding("error", what, traces)

    def _is_health(self, execution: Execution) -> bool:
        """The gateway's own question, which it asks every few seconds."""
        return execution.rpc.startswith(_HEALTH) and execution.caller.endswith("/gateway")
