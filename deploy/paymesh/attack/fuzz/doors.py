"""The doors of a running mesh that are fuzzed, each by somebody with little to ask for there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paymesh import dial, users
from paymesh.attack import wire
from paymesh.attack.fuzz.menu import Call, Menu, calls
from paymesh.attack.fuzz.sequence import Sequence
from paymesh.grants import Grant, load_grants
from paymesh.mesh import Mesh, repository_root
from paymesh.paths import Paths

_USER = "alice"
# Conditions that a call with this user's token, or with none, cannot meet.
_NOT_AS_CUSTOMER = frozenset({"user_is_operator", "user_is_staff", "user_is_auditor", "no_user"})
_HTTP2, _BOTH = ("h2",), ("h2", "http/1.1")


@dataclasses.dataclass(frozen=True, repr=False)
class Door:
    """Where a sequence goes, and who sends it.

    Attributes:
        menu: what is asked for; the door's name stands there.
        caller: the workload that the mesh takes the sender for, None for nobody's.
        endpoint: an address or a socket.
        tls: None for plaintext.
        token: of the user that has one here.
    """

    menu: Menu
    caller: str | None
    endpoint: wire.Endpoint
    tls: wire.Tls | None = None
    token: bytes = b""

    @property
    def name(self) -> str:
        """Such as `ledger as statements`."""
        return self.menu.door

    def filled(self, sequence: Sequence) -> Sequence:
        """With the user's token where a sequence has something else of the same length."""
        if not self.token:
            return sequence
        return sequence.replaced(
            data.replace(self.menu.token, self.token) for data in sequence.frames
        )


class Doors:
    """All doors of one mesh. Certificates and tokens in them are good for minutes."""

    def __init__(self, paths: Paths, mesh: Mesh, root: Path | None = None) -> None:
        """For a mesh that is up.

        Raises:
            ConfigError: it is not, or its secrets may not be read.
        """
        self._paths, self._mesh = paths, mesh
        self._root = root or repository_root()
        self._grants = load_grants(self._root).grants
        self._calls = calls(self._root)
        names = ("statements", "payments", "gateway")
        with ThreadPoolExecutor(len(names)) as pool:
            found = pool.map(lambda name: dial.fetch_svid(paths, mesh, name), names)
            self._svids = dict(zip(names, found, strict=True))
        self._token = users.token(paths, mesh, _USER).encode()
        made = (*self._inbound(), *self._closed(), *self._public(), *self._outbound())
        self.by_name: Mapping[str, Door] = {door.name: door for door in made}

    @property
    def menus(self) -> list[Menu]:
        """What each door has to offer, in their order."""
        return [door.menu for door in self.by_name.values()]

    def _inbound(self) -> Iterable[Door]:
        """With an SVID that the listener takes, of a caller that policy gives little or nothing."""
        for callee, caller, weight in (
            ("ledger", "statements", 8),
            ("payments", "gateway", 6),
            ("bank-link", "payments", 5),
        ):
            tls = self._tls(callee, self._svids[caller])
            yield self._door(f"{callee} as {caller}", callee, caller, weight, tls=tls)

    def _closed(self) -> Iterable[Door]:
        """Without a certificate, or without TLS: nothing is taken."""
        for callee in ("ledger", "payments"):
            tls = self._tls(callee, None)
            yield self._door(f"{callee} without a certificate", callee, None, 1, tls=tls)
            yield self._door(f"{callee} in plaintext", callee, None, 1)

    def _public(self) -> Iterable[Door]:
        tls = wire.Tls(sni="localhost", alpn=_HTTP2)
        yield self._door("the gateway as nobody", "gateway", "gateway", 6, tls=tls)
        either = wire.Tls(sni="localhost", alpn=_BOTH)
        yield self._door(
            f"the gateway as {_USER}", "gateway", "gateway", 8, tls=either, token=self._token
        )

    def _outbound(self) -> Iterable[Door]:
        """A workload's own way out, past which what is asked must not get."""
        for caller, callee, weight in (("payments", "ledger", 4), ("bank-link", "ledger", 2)):
            socket = wire.Unix(self._paths.workload(caller) / "outbound.sock")
            yield self._door(
                f"{caller}'s way out", callee, caller, weight, endpoint=socket, everywhere=True
            )

    def _door(
        self,
        name: str,
        callee: str,
        caller: str | None,
        weight: int,
        *,
        tls: wire.Tls | None = None,
        token: bytes = b"",
        endpoint: wire.Endpoint | None = None,
        everywhere: bool = False,
    ) -> Door:
        mesh = self._mesh
        granted = {
            grant.rpc
            for grant in self._grants
            if grant.caller == caller and _may_be_met(grant, customer=bool(token))
        }
        port = mesh.workloads[callee].port or 0
        behind = self._behind(None if everywhere or callee == "gateway" else callee)
        menu = Menu(
            name,
            f"{callee}.{mesh.trust_domain}",
            tuple(call for call in behind if call.rpc not in granted),
            tuple(call for call in behind if call.rpc in granted),
            callee == "gateway",
            len(token),
            weight,
        )
        return Door(menu, caller, endpoint or wire.Tcp(mesh.address, port), tls, token)

    def _behind(self, workload: str | None) -> list[Call]:
        """Requests of what a workload serves, or of everything."""
        found: list[Call] = []
        for rpc, requests in self._calls.items():
            serving = self._mesh.service_of(rpc)
            if workload is None or serving is None or serving.name == workload:
                found += requests
        return found

    def _tls(self, callee: str, svid: dial.Svid | None) -> wire.Tls:
        name = f"{callee}.{self._mesh.trust_domain}"
        if svid is None:
            return wire.Tls(sni=name)
        return wire.Tls(svid.certificates, svid.key, sni=name)


def _may_be_met(grant: Grant, *, customer: bool) -> bool:
    """Whether a caller with a customer's token, or with none, can meet the conditions."""
    if customer:
        return not _NOT_AS_CUSTOMER & set(grant.conditions)
    return not any(condition.startswith("user_") for condition in grant.conditions)
