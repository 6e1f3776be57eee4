"""The Secrets that only a deployment can make, and which of their keys are wanted.

Nothing that is there is overwritten, so that a cluster may bring its own; only what
is derived from another key is kept in step with it: digests, verifiers, and
certificates of ours that run out. Nothing of this is ever printed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping

from paymesh.errors import ConfigError
from paymesh.kube import passwords
from paymesh.kube.home import Home
from paymesh.kube.leaves import leaf
from paymesh.kube.objects import Reference
from paymesh.mesh import Mesh, Workload
from paymesh.runtime import postgres_settings
from paymesh.runtime.workspace import PROVIDER_NAMES

TRUST = "paymesh-trust"
TLS_TYPE = "kubernetes.io/tls"
OPAQUE = "Opaque"

Contents = Mapping[str, bytes]
Place = tuple[str, str]
"""Namespace and name."""


@dataclasses.dataclass(frozen=True, repr=False)
class Secret:
    """A Secret as it is to be. Its contents are in no repr, and so in no traceback."""

    namespace: str
    name: str
    type: str
    data: Contents

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.namespace, self.name


class Plan:
    """The Secrets of one build, from what the cluster has of them.

    Args:
        mesh: names and ports.
        home: the cluster's keys.
        existing: every Secret of the mesh's namespaces.
        needed: what the build's pods refer to.
        has_database: whether the build brings PostgreSQL itself.
    """

    def __init__(
        self,
        mesh: Mesh,
        home: Home,
        existing: Mapping[Place, Contents],
        needed: Iterable[Reference],
        *,
        has_database: bool,
    ) -> None:
        self._mesh = mesh
        self._home = home
        self._existing = existing
        self._has_database = has_database
        self._needed: dict[Place, set[str]] = {}
        for reference in needed:
            if reference.kind == "Secret":
                keys = self._needed.setdefault((reference.namespace, reference.name), set())
                keys |= reference.keys
        self._made: dict[Place, dict[str, bytes]] = {}
        # Only the stand-ins take a provider's key that somebody has made up.
        self._has_simulators = self._simulators_place in self._needed

    def secrets(self) -> list[Secret]:
        """Those that the build's pods refer to, each with all of its keys.

        Raises:
            ConfigError: one has to be brought, and is not there.
        """
        workloads, platform = self._mesh.namespace, self._mesh.kubernetes.namespaces["platform"]
        services = self._mesh.services()
        makers: dict[Place, tuple[str, Callable[[Contents], dict[str, bytes]]]] = {
            **{(workloads, w.name): (OPAQUE, self._service(w)) for w in services},
            **{
                (platform, f"migrate-{w.name}"): (OPAQUE, self._migration(w))
                for w in services
                if w.database
            },
            (workloads, "gateway-tls"): (TLS_TYPE, self._gateway),
            (platform, "postgres-admin"): (OPAQUE, self._administrator),
            (platform, "postgres-tls"): (TLS_TYPE, self._server("postgres")),
            (platform, "bundle-server-tls"): (TLS_TYPE, self._server("bundle-server")),
            (platform, "bundle-tokens"): (OPAQUE, self._bundle_tokens),
            (platform, "postgres-roles"): (OPAQUE, self._roles),
            self._simulators_place: (OPAQUE, self._simulators),
        }
        found = []
        for place, (kind, make) in makers.items():
            if place in self._needed:
                data = {**self._of(place), **make(self._of(place))}
                self._made[place] = data
                found.append(Secret(*place, kind, data))
        self._require(found)
        return found

    @property
    def _simulators_place(self) -> Place:
        return self._mesh.kubernetes.namespaces["outside"], "simulators"

    def _of(self, place: Place) -> Contents:
        return self._made.get(place) or self._existing.get(place, {})

    def _require(self, found: list[Secret]) -> None:
        known = {secret.place: secret.data for secret in found}
        missing = []
        for place, keys in sorted(self._needed.items()):
            has = known.get(place, self._existing.get(place))
            # A key without a value is as good as none.
            lacking = sorted(keys - {key for key, value in (has or {}).items() if value})
            if has is None or lacking:
                of = f" with key {', '.join(lacking)}" if lacking else ""
                missing.append(f"Secret {place[0]}/{place[1]}{of}")
        if missing:
            raise ConfigError(
                f"this deployment needs {'; '.join(missing)}, which cannot be made up: create"
                " the Secret with that key, or add the key to it (the others are made); see"
                " deploy/k8s/README.md"
            )

    def _service(self, workload: Workload) -> Callable[[Contents], dict[str, bytes]]:
        def make(existing: Contents) -> dict[str, bytes]:
            data = {
                key: existing.get(key) or passwords.new().encode()
                for key in ("pdp-token", "bundle-token")
            }
            data["pdp-token-sha256"] = _sha256(data["pdp-token"]).encode()
            if workload.egress and self._has_simulators and not existing.get("provider-key"):
                data["provider-key"] = passwords.new().encode()
            if workload.database and not existing.get("dsn") and self._has_database:
                text = passwords.dsn(
                    self._mesh, workload.database, workload.database, passwords.new()
                )
                data["dsn"] = text.encode()
            return data

        return make

    def _migration(self, workload: Workload) -> Callable[[Contents], dict[str, bytes]]:
        def make(existing: Contents) -> dict[str, bytes]:
            if existing.get("dsn") or not self._has_database:
                return {}
            database = str(workload.database)
            owner = postgres_settings.owner_of(database)
            text = passwords.dsn(self._mesh, database, owner, passwords.new())
            return {"dsn": text.encode()}

        return make

    def _administrator(self, existing: Contents) -> dict[str, bytes]:
        return {"password": existing.get("password") or passwords.new().encode()}

    def _roles(self, existing: Contents) -> dict[str, bytes]:
        platform = self._mesh.kubernetes.namespaces["platform"]
        found: dict[str, str] = {}
        databases = []
        for workload in self._mesh.services():
            if workload.database is None:
                continue
            databases.append(workload.database)
            places = (self._mesh.namespace, workload.name), (platform, f"migrate-{workload.name}")
            for role, place in zip(
                postgres_settings.roles_of(workload.database), places, strict=True
            ):
                text = self._of(place).get("dsn", b"").decode(errors="replace")
                # A role whose connection string is for another server enters with nothing.
                found[role] = passwords.password_in(self._mesh, text, role) or passwords.new()
        before = existing.get("roles.sql", b"").decode(errors="replace")
        return {"roles.sql": passwords.roles_script(databases, found, before).encode()}

    def _bundle_tokens(self, _: Contents) -> dict[str, bytes]:
        """Digests only, so that the list can be read without harm."""
        lines = [
            f"{_sha256(token)} {workload.name}\n"
            for workload in self._mesh.services()
            if (token := self._of((self._mesh.namespace, workload.name)).get("bundle-token"))
        ]
        return {"tokens": "".join(lines).encode()}

    def _gateway(self, existing: Contents) -> dict[str, bytes]:
        mesh, inside = self._mesh, self._mesh.cluster_name("gateway")
        own = f"gateway.{mesh.trust_domain}"
        names = [own, "localhost", "127.0.0.1", f"gateway.{mesh.namespace}.svc", inside]
        return leaf(self._home.edge, existing, names)

    def _server(self, name: str) -> Callable[[Contents], dict[str, bytes]]:
        namespace = self._mesh.kubernetes.namespaces["platform"]
        names = [self._mesh.cluster_name(name, namespace), f"{name}.{namespace}.svc"]
        return lambda existing: leaf(self._home.platform, existing, names)

    def _simulators(self, existing: Contents) -> dict[str, bytes]:
        digests: dict[str, str] = {}
        data: dict[str, bytes] = {}
        for workload in self._mesh.services():
            key = self._of((self._mesh.namespace, workload.name)).get("provider-key")
            digests |= dict.fromkeys(workload.egress, _sha256(key)) if key else {}
        for external in self._mesh.external.values():
            name = PROVIDER_NAMES.get(external.name, external.name)
            certificate, key_name = f"{name}.crt", f"{name}.key"
            data |= leaf(
                self._home.providers,
                existing,
                [external.host],
                certificate=certificate,
                key=key_name,
            )
        data["keys.json"] = (json.dumps(digests, indent=2) + "\n").encode()
        return data


def _sha256(value: bytes) -> str:
    """Of the value as the services read it: without the line end that an editor leaves."""
    return hashlib.sha256(value.strip()).hexdigest()
