"""Which RPCs each state makes some service carry out, and which by way of the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from paymesh.attack.computed.apps import forged
from paymesh.attack.computed.doors import NO_CERTIFICATE, PLAINTEXT, Certificate, Door, Peer
from paymesh.attack.computed.filters import mutated
from paymesh.attack.computed.machine import Machine
from paymesh.attack.computed.messages import AUTHORIZATION, Call
from paymesh.attack.computed.oracle import Pending
from paymesh.attack.computed.passage import Passage
from paymesh.attack.computed.site import Site, at, items
from paymesh.attack.model import FORWARD, OUTSIDE, OWN, State, Target
from paymesh.errors import ConfigError

# The end of `foreign:W`: W's path in another trust domain.
_FOREIGN = "foreign.example"
_Ends = frozenset[Target]
# A door or an app's workload; principal; user.
_Key = tuple[Door | str, str, str | None]


class Calls:
    """Follows every call that a state can begin. A state has its certificate and its token and
    may leave either away.
    """

    def __init__(
        self, site: Site, machine: Machine, passage: Passage, claims: frozenset[str]
    ) -> None:
        self._site = site
        self._machine = machine
        self._passage = passage
        self._claims = claims
        self._forged = list(forged(site.mesh))
        self._ends: dict[_Key, _Ends] = {}
        self._unfinished: set[_Key] = set()

    def forget_unfinished(self) -> bool:
        """What waited for answers is looked for again; whether anything did."""
        for key in self._unfinished:
            del self._ends[key]
        had_any = bool(self._unfinished)
        self._unfinished.clear()
        return had_any

    def made(self, state: State) -> _Ends:
        """What this state makes execute, as far as the policy's answers are there."""
        return frozenset(
            target
            for user in {None, state.user}
            for ends in self._made(state, user)
            for target in ends
        )

    def _made(self, state: State, user: str | None) -> Iterator[_Ends]:
        peers = [PLAINTEXT, NO_CERTIFICATE, *self._certified(state)]
        for door in self._doors(state.position):
            principals = {self._passage.doors.admitted(door, peer) for peer in peers}
            for principal in principals - {None}:
                yield self._through(door, principal or "", user)
        account = self._machine.account(state.position)
        for workload in self._site.mesh.services():
            if self._machine.may_connect(account, f"run/{workload.name}/app.sock"):
                yield self._at_app(workload.name, user)

    def _doors(self, position: str) -> list[Door]:
        """Where a position can knock: outside, the perimeter forwards the gateway's port."""
        mesh = self._site.mesh
        if position == OUTSIDE:
            ports = {w.port for w in mesh.workloads.values() if w.kind == "gateway"}
            return [door for door in self._passage.doors.all if door.port in ports - {None}]
        account = self._machine.account(position)
        return [
            door
            for door in self._passage.doors.all
            if door.pipe is None or self._machine.may_connect(account, door.pipe, door.mode)
        ]

    def _certified(self, state: State) -> Iterator[Peer]:
        mesh = self._site.mesh
        if state.identity == OWN:
            for entry in self._machine.identities(self._machine.account(state.position)):
                shown = Certificate(entry.spiffe_id, entry.names, is_good=True)
                yield Peer(is_tls=True, certificate=shown)
        elif state.identity_of is not None:
            spiffe_id, kind = mesh.spiffe_id(state.identity_of), state.identity_kind
            if kind == "foreign":
                spiffe_id = spiffe_id.replace(f"//{mesh.trust_domain}/", f"//{_FOREIGN}/")
            names = tuple(
                name for e in self._site.entries if e.spiffe_id == spiffe_id for name in e.names
            )
            yield Peer(is_tls=True, certificate=Certificate(spiffe_id, names, kind == "live"))

    def _through(self, door: Door, principal: str, user: str | None) -> _Ends:
        is_forward = door.port is not None and (
            self._site.mesh.workloads[door.envoy].kind == "gateway"
        )

        def end(call: Call) -> Iterator[Target]:
            found = self._passage.end(door, principal, call)
            if found is not None:
                yield Target(found, call.path)
                if is_forward:
                    yield Target(door.envoy, FORWARD)

        return self._found((door, principal, user), self._tried(door, user), end)

    def _at_app(self, workload: str, user: str | None) -> _Ends:
        calls = (
            call.having({**dict(call.headers), **headers})
            for call in self._to(workload, user)
            for headers in self._forged
        )

        def end(call: Call) -> Iterator[Target]:
            if self._passage.at_app(workload, call) is not None:
                yield Target(workload, call.path)

        return self._found((workload, "", user), calls, end)

    def _found(
        self, key: _Key, calls: Iterable[Call], end: Callable[[Call], Iterator[Target]]
    ) -> _Ends:
        """What the calls come to, looked for once in each round."""
        if key not in self._ends:
            found: set[Target] = set()
            for call in calls:
                try:
                    found.update(end(call))
                except Pending:
                    self._unfinished.add(key)
            self._ends[key] = frozenset(found)
        return self._ends[key]

    def _tried(self, door: Door, user: str | None) -> Iterator[Call]:
        """Every RPC, with every claim that the policy believes and no listener takes away."""
        extra: list[dict[str, str]] = [{}, *self._claimed()]
        if not _strips(door, next(iter(self._forged[0]))):
            extra += self._forged
        for workload in self._site.mesh.services():
            for call in self._to(workload.name, user):
                for headers in extra:
                    yield call.having({**dict(call.headers), **headers})

    def _claimed(self) -> Iterator[dict[str, str]]:
        mesh = self._site.mesh
        for name in self._claims:
            for workload in mesh.workloads:
                yield {name: workload}
                yield {name: mesh.spiffe_id(workload)}

    def _to(self, workload: str, user: str | None) -> Iterator[Call]:
        authority = f"{workload}.{self._site.mesh.trust_domain}"
        headers = {} if user is None else {AUTHORIZATION: user}
        for rpc in self._site.rpcs[workload]:
            if rpc not in self._site.messages:
                raise ConfigError(f"deploy/attack/requests.yaml has no message for {rpc}")
            for body in self._site.messages[rpc]:
                yield Call(rpc, authority, body).having(headers)


def _strips(door: Door, header: str) -> bool:
    """Whether a listener takes this header away from what comes in."""
    sent = Call("/", "").having({header: "x"})
    return any(
        not mutated(at(one, "typed_config") or {}, sent).headers
        for one in items(door.manager, "http_filters")
        if one["name"] == "envoy.filters.http.header_mutation"
    )
