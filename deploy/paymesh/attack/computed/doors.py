"""Where one can knock at an Envoy, and as whom one is let in: listeners, TLS, certificates.

A door is one filter chain of one listener. What is in a configuration and cannot be judged
here is a `ConfigError`, not a guess.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from paymesh.attack.computed.machine import Machine
from paymesh.attack.computed.site import Config, Site, at, items
from paymesh.errors import ConfigError

_INSPECTOR = "envoy.filters.listener.tls_inspector"
_MANAGER = "envoy.filters.network.http_connection_manager"
# What a client chooses itself when it begins to speak TLS.
_CLIENTS_CHOICE = frozenset({"transport_protocol", "application_protocols", "server_names"})


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What somebody shows. `is_good`: the trust domain's authority stands behind it, now."""

    spiffe_id: str
    names: tuple[str, ...]
    is_good: bool


@dataclasses.dataclass(frozen=True)
class Peer:
    """How somebody connects: in plaintext, or by TLS with a certificate or without."""

    is_tls: bool
    certificate: Certificate | None = None


PLAINTEXT = Peer(is_tls=False)
NO_CERTIFICATE = Peer(is_tls=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Door:
    """One filter chain of one listener; it has a `port`, or the path of a socket.

    Attributes:
        envoy: whose.
        port: as in the files, without an offset.
        pipe: below the home.
        mode: of the socket, if the file says it.
        protocol: which transport protocol the chain is for; None for any.
        inspects_tls: whether the listener finds out that TLS is spoken.
        tls: DownstreamTlsContext; None for plaintext.
        manager: the HTTP connection manager; None if there is none.
    """

    envoy: str
    port: int | None
    pipe: str | None
    mode: int | None
    protocol: str | None
    inspects_tls: bool
    tls: Config | None
    manager: Config | None


class Doors:
    """All Envoys' doors, and who comes through."""

    def __init__(self, site: Site, machine: Machine) -> None:
        self._site = site
        self._machine = machine
        self._known: dict[tuple[Door, Peer], str | None] = {}
        self.all = tuple(
            door
            for name, config in site.envoys.items()
            for listener in items(config, "static_resources", "listeners")
            for door in _doors_of(name, listener)
        )

    def at_port(self, port: int) -> list[Door]:
        """Those of one TCP port."""
        return [door for door in self.all if door.port == port]

    def at_pipe(self, path: str) -> list[Door]:
        """Those of one Unix socket."""
        return [door for door in self.all if door.pipe == path]

    def admitted(self, door: Door, peer: Peer) -> str | None:
        """The URI of the certificate that the peer is let in with, empty without one; None
        when it is not let in.
        """
        if (door, peer) not in self._known:
            self._known[door, peer] = self._admitted(door, peer)
        return self._known[door, peer]

    def _admitted(self, door: Door, peer: Peer) -> str | None:
        if door.manager is None or not _is_for(door, peer):
            return None
        if door.tls is None:
            return None if peer.is_tls else ""
        if not peer.is_tls or not self._has_own_certificate(door):
            return None
        asks = bool(door.tls.get("require_client_certificate"))
        trust = _trust(door.tls, self._site.mesh.trust_domain)
        if peer.certificate is None or not (asks or trust.is_checked):
            # A listener that verifies nothing and requires nothing does not ask for one.
            return None if asks else ""
        return peer.certificate.spiffe_id if trust.accepts(peer.certificate) else None

    def certificate_of(self, envoy: str, tls: Config) -> Certificate | None:
        """What an Envoy shows by this TLS context: only what SPIRE gives to its uid."""
        wanted = {
            at(secret, "name")
            for secret in items(tls, "common_tls_context", "tls_certificate_sds_secret_configs")
        }
        given = self._machine.identities(self._machine.account(envoy))
        for entry in given:
            if entry.spiffe_id in wanted:
                return Certificate(entry.spiffe_id, entry.names, is_good=True)
        return None

    def trusts(self, tls: Config, door: Door) -> bool:
        """Whether a client with this TLS context takes the door's owner for the right one."""
        if door.tls is None:
            return False
        shown = self.certificate_of(door.envoy, door.tls)
        return shown is not None and _trust(tls, self._site.mesh.trust_domain).accepts(shown)

    def _has_own_certificate(self, door: Door) -> bool:
        """Without one the listener serves nobody."""
        if items(door.tls, "common_tls_context", "tls_certificates"):
            return True
        return self.certificate_of(door.envoy, door.tls or {}) is not None


@dataclasses.dataclass(frozen=True)
class _Trust:
    """Whose certificates pass. Not `is_checked`: any, also those of strangers."""

    is_checked: bool
    names: tuple[Config, ...]

    def accepts(self, shown: Certificate) -> bool:
        return (shown.is_good or not self.is_checked) and (
            not self.names or any(_is_named(matcher, shown) for matcher in self.names)
        )


def _trust(tls: Config, trust_domain: str) -> _Trust:
    common = at(tls, "common_tls_context")
    bundle = at(common, "combined_validation_context", "validation_context_sds_secret_config")
    own = at(common, "combined_validation_context", "default_validation_context") or at(
        common, "validation_context"
    )
    bundle = bundle or at(common, "validation_context_sds_secret_config")
    if bundle is not None and bundle.get("name") != f"spiffe://{trust_domain}":
        raise ConfigError(f"nobody knows here what the bundle {bundle.get('name')!r} holds")
    if at(own, "trusted_ca") is not None:
        raise ConfigError("nobody knows here what a file of authorities holds")
    return _Trust(bundle is not None, tuple(items(own, "match_typed_subject_alt_names")))


def _is_named(matcher: Config, shown: Certificate) -> bool:
    kinds = {"URI": (shown.spiffe_id,), "DNS": shown.names}
    if matcher.get("san_type") not in kinds:
        raise ConfigError(f"nobody knows here which {matcher.get('san_type')!r} a caller has")
    return any(matches(matcher["matcher"], name) for name in kinds[matcher["san_type"]])


def _is_for(door: Door, peer: Peer) -> bool:
    """Whether the listener takes the connection to this chain."""
    if not door.inspects_tls or not peer.is_tls:
        return door.protocol in {None, "raw_buffer"}
    return door.protocol in {None, "tls"}


def _doors_of(envoy: str, listener: Config) -> Iterator[Door]:
    port, pipe, mode = address_of(envoy, listener.get("address"))
    inspects = any(at(f, "name") == _INSPECTOR for f in items(listener, "listener_filters"))
    for chain in items(listener, "filter_chains"):
        match = chain.get("filter_chain_match") or {}
        if set(match) - _CLIENTS_CHOICE:
            raise ConfigError(f"{envoy}: nobody knows here who fits {sorted(match)}")
        managers = [
            at(one, "typed_config") for one in items(chain, "filters") if one["name"] == _MANAGER
        ]
        yield Door(
            envoy=envoy,
            port=port,
            pipe=pipe,
            mode=mode,
            protocol=match.get("transport_protocol"),
            inspects_tls=inspects,
            tls=at(chain, "transport_socket", "typed_config"),
            manager=managers[0] if managers else None,
        )


def address_of(envoy: str, address: Any) -> tuple[int | None, str | None, int | None]:
    """Port, path of the socket below the home, and its mode, as far as they are given. A
    path is relative to the directory that the Envoy runs in (deploy/paymesh/runtime).
    """
    port = at(address, "socket_address", "port_value")
    path, mode = at(address, "pipe", "path"), at(address, "pipe", "mode")
    pipe = None if path is None else posixpath.normpath(posixpath.join("run", envoy, path))
    if port is None and pipe is None:
        raise ConfigError(f"{envoy}: an address is neither a port nor a socket")
    return port, pipe, mode


def matches(matcher: Mapping[str, Any], text: str) -> bool:
    """Envoy's StringMatcher."""
    kinds = set(matcher) - {"ignore_case"}
    if len(kinds) != 1 or not kinds <= {"exact", "prefix", "suffix", "contains", "safe_regex"}:
        raise ConfigError(f"nobody knows here what {dict(matcher)} matches")
    (kind,) = kinds
    if kind == "safe_regex":
        return re.fullmatch(str(matcher[kind]["regex"]), text) is not None
    wanted = str(matcher[kind])
    if matcher.get("ignore_case"):
        text, wanted = text.lower(), wanted.lower()
    return {
        "exact": text == wanted,
        "prefix": text.startswith(wanted),
        "suffix": text.endswith(wanted),
        "contains": wanted in text,
    }[kind]
