"""The directories of $PAYMESH_HOME and what each workload finds in its own before it starts.

Whatever a killed run left behind is put right: sockets without a listener go,
modes and owners are set again. Secrets are made once and kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import yaml

from paymesh import render
from paymesh.errors import ConfigError, SetupError
from paymesh.mesh import Mesh, Workload, repository_root
from paymesh.paths import Paths
from paymesh.runtime import issuer, mirror, pdp, pki
from paymesh.runtime.accounts import POSTGRES, Accounts
from paymesh.runtime.files import ensure_directory, ensure_secret, write_file
from paymesh.runtime.shipping import Shipping

_PORT = re.compile(rb"^(\s*(?:- )?port_value: )(\d+)$", re.MULTILINE)
PROVIDER_NAMES = {"card-processor": "cards", "bank-data": "banks"}


class Workspace:
    """One mesh's home."""

    def __init__(self, paths: Paths, mesh: Mesh, accounts: Accounts) -> None:
        self.paths = paths
        self.mesh = mesh
        self.accounts = accounts
        self.shipping = Shipping(paths, mesh, accounts, os.environ)

    def prepare(self) -> None:
        """Makes and repairs everything; idempotent.

        Raises:
            ConfigError: the workloads' uids could not enter the home, or what decisions are
                shipped with cannot be read.
            SetupError: a file of the checkout is missing.
        """
        self._directories()
        self._remove_sockets()
        pki_directory = self.paths.secrets / "pki"
        ensure_directory(pki_directory, 0o700)
        pki.ensure_key(self.bundle_signing_key)
        pki.ensure_key(self.paths.shadow_signing_key)
        self._edge(pki.ensure_authority(pki_directory, "edge"))
        externals = pki.ensure_authority(pki_directory, "providers")
        self._providers(externals)
        self._node(pki.ensure_authority(pki_directory, "nodes"))
        jwks = issuer.ensure_issuer(self.paths)
        for workload in self.mesh.sidecars():
            self._sidecar(workload, externals, jwks)
        self.shipping.copy()
        self._own("bundle-server", "tokens", self._bundle_tokens())

    @property
    def bundle_signing_key(self) -> Path:
        """Private key of the policy bundle's signature, PKCS #8 PEM."""
        return self.paths.bundle_signing_key

    @property
    def bundles(self) -> Path:
        """Where the signed bundle is published to and served from."""
        return self.paths.bundles

    def secret(self, name: str) -> str:
        """A secret of this home, made at the first call."""
        return ensure_secret(self.paths.secrets / name)

    def pdp_token(self, workload: str) -> str:
        """Bearer token of one PDP's data API."""
        return self.secret(self.paths.pdp_token(workload).name)

    def password(self, role: str) -> str:
        """Password of a role of the database."""
        return self.secret(self.paths.password(role).name)

    def _directories(self) -> None:
        paths, root = self.paths, self.accounts.separate
        mirror.open_directory(paths.home.parent)
        shared = 0o755 if root else 0o700
        for directory in (paths.home, paths.run, paths.data):
            ensure_directory(directory, shared)
        if root and not mirror.readable_by_others(paths.home):
            raise ConfigError(
                f"{paths.home} cannot be entered by the workloads' uids: set PAYMESH_HOME to a"
                " directory below one that everybody may enter"
            )
        for directory in (paths.secrets, paths.logs):
            ensure_directory(directory, 0o700)
        platform = [name for name in self.mesh.platform if name != "spire-agent"]
        for name in (*self.mesh.workloads, *platform):
            ensure_directory(paths.workload(name), 0o700, self.accounts.of(name))
        agent, database = self.accounts.of("spire-agent"), self.accounts.of(POSTGRES)
        ensure_directory(
            paths.workload("spire-agent"),
            0o750 if root else 0o700,
            agent,
            gid=self.mesh.agent_gid if root else None,
        )
        ensure_directory(
            paths.workload(POSTGRES),
            0o2750 if root else 0o700,
            database,
            gid=self.mesh.database_gid if root else None,
        )
        ensure_directory(paths.data / POSTGRES, 0o700, database)
        for name in ("spire-server", "spire-agent", "simulators"):
            ensure_directory(paths.data / name, 0o700, self.accounts.of(name))
        # Who fetches a bundle shows a token: the file is not there to be read instead.
        ensure_directory(
            self.bundles,
            0o750 if root else 0o700,
            gid=self.mesh.uid("bundle-server") if root else None,
        )

    def _remove_sockets(self) -> None:
        """Nothing of this home runs now, so every socket is a leftover."""
        for directory in self.paths.run.iterdir():
            for path in directory.iterdir() if directory.is_dir() else ():
                if path.is_socket():
                    path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.paths.control_socket.unlink()

    def _own(self, owner: str, name: str, data: bytes | str, mode: int = 0o400) -> None:
        write_file(self.paths.workload(owner) / name, data, mode, self.accounts.of(owner))

    def _edge(self, authority: pki.Authority) -> None:
        edge = self.paths.home / "edge"
        ensure_directory(edge, 0o755 if self.accounts.separate else 0o700)
        write_file(edge / "ca.pem", authority.pem, 0o644)
        gateway = self.paths.workload("gateway")
        pki.ensure_leaf(
            authority,
            gateway / "tls.crt",
            gateway / "tls.key",
            common_name=f"gateway.{self.mesh.trust_domain}",
            names=["localhost", self.mesh.address, f"gateway.{self.mesh.trust_domain}"],
            owner=self.accounts.of("gateway"),
        )

    def _node(self, authority: pki.Authority) -> None:
        agent = self.paths.workload("spire-agent")
        pki.ensure_leaf(
            authority,
            agent / "node.crt",
            agent / "node.key",
            common_name="paymesh-node",
            client=True,
            owner=self.accounts.of("spire-agent"),
        )
        self._own("spire-server", "node-ca.pem", authority.pem, 0o444)

    def _providers(self, authority: pki.Authority) -> None:
        directory = self.paths.workload("simulators") / "tls"
        owner = self.accounts.of("simulators")
        ensure_directory(directory, 0o700, owner)
        for external in self.mesh.external.values():
            name = PROVIDER_NAMES.get(external.name, external.name)
            pki.ensure_leaf(
                authority,
                directory / f"{name}.crt",
                directory / f"{name}.key",
                common_name=external.host,
                names=[external.host],
                owner=owner,
            )
        digests = {name: _sha256(self.secret(f"{name}.key")) for name in self.mesh.external}
        self._own("simulators", "keys.json", json.dumps(digests, indent=2) + "\n")

    def _sidecar(self, workload: Workload, externals: pki.Authority, jwks: str) -> None:
        name = workload.name
        self._own(name, "descriptors.binpb", _checkout_file("policies/descriptors.binpb"), 0o444)
        self._own(name, "envoy.yaml", self._envoy_yaml(name), 0o444)
        if workload.kind == "gateway":
            self._own(name, "jwks.json", jwks, 0o444)
        if workload.egress:
            self._own(name, "external-ca.pem", externals.pem, 0o444)
        for external in workload.egress:
            self._own(name, f"{external}.key", self.secret(f"{external}.key") + "\n")
        if workload.kind == "service":
            key = pki.ensure_key(self.bundle_signing_key)
            self._own(name, "bundle-key.pem", pki.public_pem(key), 0o444)
            self._own(name, "bundle-token", self.secret(f"bundle-token-{name}") + "\n")
            self._own(name, "pdp-token", self.pdp_token(name) + "\n")
            self._own(name, "pdp.yaml", self._pdp_yaml(workload), 0o444)
        if workload.database:
            self._own(name, "dsn", self._dsn(workload.database) + "\n")

    def _bundle_tokens(self) -> str:
        """The bundle server's list: digests, so that it can be read without harm."""
        names = [workload.name for workload in self.mesh.services()]
        digests = [_sha256(self.secret(f"bundle-token-{name}")) for name in names]
        return "".join(f"{d} {name}\n" for d, name in zip(digests, names, strict=True))

    def _dsn(self, database: str) -> str:
        return dsn(self.paths, database, database, self.password(database))

    def _envoy_yaml(self, name: str) -> bytes:
        """The committed file as it is, but for other ports and a traces' collector."""
        committed = _checkout_file(f"envoy/{name}.yaml")
        collector = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if not collector:
            return move_ports(committed, self.mesh.port_offset)
        config = render.readdress(_safe_load(committed), self.mesh)
        return render.to_yaml(render.with_tracing(config, collector))

    def _pdp_yaml(self, workload: Workload) -> str:
        key = pki.public_pem(pki.ensure_key(self.bundle_signing_key))
        shadow_key = pki.public_pem(pki.ensure_key(self.paths.shadow_signing_key))
        receiver = self.shipping.receiver(workload)
        return pdp.config(self.mesh, workload, key, shadow_key, receiver)


def move_ports(text: bytes, offset: int) -> bytes:
    """What `render.readdress` does, on the text: parsing and writing YAML takes a second."""
    return _PORT.sub(lambda found: found[1] + b"%d" % (int(found[2]) + offset), text)


def dsn(paths: Paths, database: str, role: str, password: str) -> str:
    """A libpq connection string over the Unix socket."""
    values = {
        "host": paths.workload(POSTGRES),
        "dbname": database,
        "user": role,
        "password": password,
    }
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in values.items())


def _quoted(value: str) -> str:
    """A value in a connection string (libpq, 34.1.1.1): a home may have spaces."""
    if value.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum():
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _safe_load(text: bytes) -> Any:
    """YAML by libyaml where it is there: ten times faster."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, loader)  # noqa: S506 — both are safe loaders


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checkout_file(name: str) -> bytes:
    path = repository_root() / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: run `make render`") from error
