"""`deploy/mesh.yaml`, parsed into types.

Everything that is generated or started is derived from this and the grants
(`paymesh.grants`); nothing else reads the files.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from paymesh import yamltext
from paymesh.errors import ConfigError

Kind = Literal["gateway", "service", "job"]

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?")


@dataclasses.dataclass(frozen=True)
class Workload:
    """One workload: an identity, a uid and, but for a job, listeners of its own."""

    name: str
    kind: Kind
    uid_offset: int
    port: int | None
    pdp_port: int | None
    rpc_service: str | None
    database: str | None
    egress: tuple[str, ...]

    @property
    def module(self) -> str:
        """The Python package of its app."""
        return self.name.replace("-", "_")


@dataclasses.dataclass(frozen=True)
class External:
    """Something outside the mesh that an egress listener may reach."""

    name: str
    host: str
    port: int


@dataclasses.dataclass(frozen=True)
class Identity:
    """Lifetimes in seconds."""

    x509_svid_ttl_seconds: int
    jwt_svid_ttl_seconds: int
    ca_ttl_seconds: int
    max_connection_duration_seconds: int


@dataclasses.dataclass(frozen=True)
class Limits:
    """A limit on everything that a caller can make large."""

    request_timeout_seconds: int
    authz_timeout_seconds: int
    max_message_bytes: int
    max_connections: int
    max_pending_requests: int
    max_requests: int
    max_concurrent_streams: int


@dataclasses.dataclass(frozen=True)
class Kubernetes:
    """What a cluster needs beside the workloads. `drain_seconds` is how long a pod that
    is told to end still serves.
    """

    cluster_domain: str
    namespaces: Mapping[str, str]
    ports: Mapping[str, int]
    drain_seconds: int


@dataclasses.dataclass(frozen=True)
class User:
    """An end user that the demo and the tests make tokens for."""

    name: str
    tenant: str
    roles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Users:
    """Who issues end users' tokens, and to whom in the demo."""

    issuer: str
    audience: str
    token_ttl_seconds: int
    known: Mapping[str, User]


@dataclasses.dataclass(frozen=True)
class Mesh:
    """`deploy/mesh.yaml`, with ports already moved by PAYMESH_PORT_OFFSET."""

    trust_domain: str
    namespace: str
    identity: Identity
    limits: Limits
    uid_base: int
    address: str
    ports: Mapping[str, int]
    port_offset: int
    workloads: Mapping[str, Workload]
    platform: Mapping[str, int]
    external: Mapping[str, External]
    users: Users
    kubernetes: Kubernetes

    def spiffe_id(self, workload: str) -> str:
        """The workload's SPIFFE ID (SPIFFE-ID standard, section 2)."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{workload}"

    def services(self) -> list[Workload]:
        """The workloads with an app, a PDP and an Envoy, in the file's order."""
        return [workload for workload in self.workloads.values() if workload.kind == "service"]

    def sidecars(self) -> list[Workload]:
        """The workloads with an Envoy: services and gateways, in the file's order."""
        return [workload for workload in self.workloads.values() if workload.kind != "job"]

    def uid(self, name: str) -> int:
        """The uid of a workload or platform process when started as root."""
        if name in self.workloads:
            return self.uid_base + self.workloads[name].uid_offset
        return self.uid_base + self.platform[name]

    @property
    def agent_gid(self) -> int:
        """The group that may reach the SPIRE agent's socket."""
        return self.uid_base

    @property
    def database_gid(self) -> int:
        """The group that may reach PostgreSQL's socket: the offset is above every workload's."""
        return self.uid_base + 99

    def cluster_name(self, service: str, namespace: str | None = None) -> str:
        """A Service's DNS name in the cluster, in the workloads' namespace if none is given."""
        return f"{service}.{namespace or self.namespace}.svc.{self.kubernetes.cluster_domain}"

    def service_of(self, rpc: str) -> Workload | None:
        """The workload that serves `/package.Service/Method`, if one does."""
        rpc_service = rpc.split("/")[1] if rpc.count("/") == 2 else ""  # noqa: PLR2004
        return next((w for w in self.services() if w.rpc_service == rpc_service), None)


def repository_root() -> Path:
    """The checkout that this code runs from.

    Raises:
        ConfigError: the package was installed without its checkout.
    """
    override = os.environ.get("PAYMESH_ROOT")
    root = Path(override) if override else Path(__file__).resolve().parents[2]
    if not (root / "deploy" / "mesh.yaml").is_file():
        raise ConfigError(f"{root} is not a Paymesh checkout: run from one or set PAYMESH_ROOT")
    return root


def load_mesh(root: Path | None = None, *, port_offset: int | None = None) -> Mesh:
    """Reads `deploy/mesh.yaml` below `root`.

    Args:
        root: the checkout; the one that this code stands in when left out.
        port_offset: added to every port; PAYMESH_PORT_OFFSET when left out.

    Raises:
        ConfigError: the file or the variable says something impossible.
    """
    path = (root or repository_root()) / "deploy" / "mesh.yaml"
    offset = _port_offset() if port_offset is None else port_offset
    raw = read_yaml(path)
    try:
        return _mesh(raw, offset)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error


def _port_offset() -> int:
    text = os.environ.get("PAYMESH_PORT_OFFSET", "0")
    if not re.fullmatch(r"\d{1,5}", text):
        raise ConfigError(f"PAYMESH_PORT_OFFSET is {text!r}: set it to a number such as 1000")
    return int(text)


def read_yaml(path: Path) -> Any:
    """The contents of a YAML file.

    Raises:
        ConfigError: it cannot be read, or is no YAML.
    """
    try:
        return yamltext.load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _mesh(raw: Any, offset: int) -> Mesh:
    local = raw["local"]
    ports = {name: _port(port, offset) for name, port in local["ports"].items()}
    external = {
        name: External(name, value["host"], ports[value["port_name"]])
        for name, value in raw["external"].items()
    }
    users = raw["users"]
    return Mesh(
        trust_domain=raw["trust_domain"],
        namespace=raw["namespace"],
        identity=Identity(**raw["identity"]),
        limits=Limits(**raw["limits"]),
        uid_base=local["uid_base"],
        address=local["address"],
        ports=ports,
        port_offset=offset,
        workloads={name: _workload(name, w, offset) for name, w in raw["workloads"].items()},
        platform={name: value["uid_offset"] for name, value in raw["platform"].items()},
        external=external,
        kubernetes=Kubernetes(**raw["kubernetes"]),
        users=Users(
            issuer=users["issuer"],
            audience=users["audience"],
            token_ttl_seconds=users["token_ttl_seconds"],
            known={
                name: User(name, user["tenant"], tuple(user["roles"]))
                for name, user in users["known"].items()
            },
        ),
    )


def _workload(name: str, raw: Mapping[str, Any], offset: int) -> Workload:
    if not _NAME.fullmatch(name):
        raise ValueError(f"workload {name!r} is not a DNS label")
    return Workload(
        name=name,
        kind=raw["kind"],
        uid_offset=raw["uid_offset"],
        port=_port(raw["port"], offset) if "port" in raw else None,
        pdp_port=_port(raw["pdp_port"], offset) if "pdp_port" in raw else None,
        rpc_service=raw.get("rpc_service"),
        database=raw.get("database"),
        egress=tuple(raw.get("egress", ())),
    )


def _port(port: int, offset: int) -> int:
    moved = port + offset
    if not 1024 <= moved <= 65535:  # noqa: PLR2004
        raise ValueError(f"port {moved} is outside 1024..65535: change PAYMESH_PORT_OFFSET")
    return moved
