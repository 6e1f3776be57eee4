"""What becomes of a call inside an Envoy, and behind it: filters, routes, clusters.

Followed to its end: an app, something outside the mesh, or a refusal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

from paymesh.attack.computed.doors import (
    PLAINTEXT,
    Door,
    Doors,
    Peer,
    address_of,
)
from paymesh.attack.computed.filters import Filters
from paymesh.attack.computed.machine import Machine
from paymesh.attack.computed.messages import Call
from paymesh.attack.computed.routes import route_of
from paymesh.attack.computed.site import Config, Site, at, items

_MOST_HOPS = 4


class App(Protocol):
    """The apps behind the sockets."""

    def runs(self, workload: str, call: Call) -> bool:
        """Whether the workload's app carries out a call that has arrived at it."""


@dataclasses.dataclass
class Passage:
    """Calls on their way. `apps` is set when there are some."""

    site: Site
    machine: Machine
    doors: Doors
    filters: Filters
    apps: App

    def __post_init__(self) -> None:
        self._known: dict[tuple[Door, str, Call], str | None] = {}
        self._apps = {f"run/{w.name}/app.sock": w.name for w in self.site.mesh.services()}
        self._external = {one.port: one.name for one in self.site.mesh.external.values()}

    def end(self, door: Door, principal: str, call: Call, hops: int = 0) -> str | None:
        """Who carries out a call that came in at `door` as `principal`; None if nobody.

        Raises:
            Pending: that depends on an answer that is not there yet.
        """
        key = door, principal, call
        if key not in self._known:
            self._known[key] = self._end(door, principal, call, hops)
        return self._known[key]

    def at_app(self, workload: str, call: Call) -> str | None:
        """The same for a call that stands at an app's socket."""
        return workload if self.apps.runs(workload, call) else None

    def _end(self, door: Door, principal: str, call: Call, hops: int) -> str | None:
        if hops > _MOST_HOPS or door.manager is None:
            return None
        route = route_of(door.manager, call)
        if route is None or route.cluster is None:
            return None
        passed = self.filters.passed(door.manager, route, principal, call)
        if passed is None:
            return None
        for cluster in items(self.site.envoys[door.envoy], "static_resources", "clusters"):
            if cluster.get("name") == route.cluster:
                return self._beyond(door.envoy, cluster, route.sent(passed), hops + 1)
        return None

    def _beyond(self, envoy: str, cluster: Config, call: Call, hops: int) -> str | None:
        tls = at(cluster, "transport_socket", "typed_config")
        for address in _addresses(cluster):
            port, pipe, _ = address_of(envoy, address)
            if port is not None and port in self._external:
                return self._external[port]
            if pipe is not None and not self._may_open(envoy, pipe):
                continue
            if pipe in self._apps:
                return self.at_app(self._apps[pipe], call)
            for door in self.doors.at_port(port) if port else self.doors.at_pipe(pipe or ""):
                principal = self._admitted(envoy, tls, door)
                if principal is not None:
                    return self.end(door, principal, call, hops)
        return None

    def _admitted(self, envoy: str, tls: Config | None, door: Door) -> str | None:
        """As whom an Envoy gets in at another's door, if it takes that for the right one."""
        if tls is None:
            return self.doors.admitted(door, PLAINTEXT)
        if not self.doors.trusts(tls, door):
            return None
        shown = self.doors.certificate_of(envoy, tls)
        return self.doors.admitted(door, Peer(is_tls=True, certificate=shown))

    def _may_open(self, envoy: str, pipe: str) -> bool:
        modes = [door.mode for door in self.doors.at_pipe(pipe)] or [None]
        return self.machine.may_connect(self.machine.account(envoy), pipe, modes[0])


def _addresses(cluster: Config) -> Iterator[Any]:
    for locality in items(cluster, "load_assignment", "endpoints"):
        for endpoint in items(locality, "lb_endpoints"):
            yield at(endpoint, "endpoint", "address")
