"""What must hold, read from the sources by this package's own eyes.

Shares no code with the renderer on purpose: an error in one is seen by the other.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PACKAGE = re.compile(r"^package\s+([\w.]+)\s*;", re.MULTILINE)
_SERVICE = re.compile(r"^service\s+(\w+)\s*\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_RPC = re.compile(r"^\s*rpc\s+(\w+)\s*\(", re.MULTILINE)

HEALTH = "/grpc.health.v1.Health/Check"
COMMON_RPCS = frozenset(
    {
        HEALTH,
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)
STREAMED_RPCS = frozenset({"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"})


@dataclasses.dataclass(frozen=True)
class Facts:
    """`deploy/mesh.yaml`, the grants and the protos, as they stand there."""

    mesh: dict[str, Any]
    grants: list[dict[str, Any]]
    rpcs: dict[str, frozenset[str]]

    def spiffe_id(self, workload: str) -> str:
        """The identity of a workload."""
        return f"{self.bundle}/ns/{self.mesh['namespace']}/sa/{workload}"

    @property
    def bundle(self) -> str:
        """The name of the trust domain's bundle."""
        return f"spiffe://{self.mesh['trust_domain']}"

    def server_name(self, workload: str) -> str:
        """The DNS name of a workload."""
        return f"{workload}.{self.mesh['trust_domain']}"

    def kind(self, workload: str) -> str:
        """`gateway`, `service` or `job`."""
        return str(self.mesh["workloads"][workload]["kind"])

    @property
    def sidecars(self) -> list[str]:
        """Workloads with an Envoy."""
        return [name for name in self.mesh["workloads"] if self.kind(name) != "job"]

    def callers(self, callee: str) -> set[str]:
        """Who has a grant for at least one RPC of `callee`."""
        prefix = f"/{self.mesh['workloads'][callee].get('rpc_service')}/"
        return {g["caller"] for g in self.grants if g["rpc"].startswith(prefix)}

    def callees(self, caller: str) -> set[str]:
        """The services of which `caller` may call at least one RPC."""
        services = [name for name in self.sidecars if self.kind(name) == "service"]
        return {name for name in services if caller in self.callers(name)}

    def granted(self, caller: str) -> set[str]:
        """The RPCs that `caller` has a grant for."""
        return {g["rpc"] for g in self.grants if g["caller"] == caller}

    def own_rpcs(self, workload: str) -> set[str]:
        """Every RPC that a service has, granted or not."""
        service = self.mesh["workloads"][workload].get("rpc_service")
        return set(self.rpcs.get(service, frozenset()))


def read_facts(root: Path) -> Facts:
    """Reads the sources below `root`."""
    mesh = read_yaml(root / "deploy" / "mesh.yaml")
    data = read_yaml(root / "policies" / "paymesh" / "grants" / "data.yaml")
    rpcs: dict[str, frozenset[str]] = {}
    for path in sorted((root / "protos").rglob("*.proto")):
        rpcs |= _rpcs(path.read_text(encoding="utf-8"))
    return Facts(mesh, data["grants"], rpcs)


def read_yaml(path: Path) -> Any:
    """A YAML or JSON file."""
    # The C loader, where there is one, is a safe loader too.
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506


def _rpcs(proto: str) -> dict[str, frozenset[str]]:
    package = _PACKAGE.search(proto)
    if package is None:
        return {}
    found = {}
    for service, body in _SERVICE.findall(proto):
        name = f"{package.group(1)}.{service}"
        found[name] = frozenset(f"/{name}/{method}" for method in _RPC.findall(body))
    return found
