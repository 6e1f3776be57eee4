"""Small pieces of Envoy configuration that the listeners and clusters are built from.

Shapes are Envoy's v3 API as plain dictionaries, in the order in which they
are to be read in the generated file.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from paymesh.grants import Grants
from paymesh.mesh import Mesh, Workload
from paymesh.render.rpcs import Rpc

Block = dict[str, Any]

_TYPES = "type.googleapis.com/"

# Paths are relative to the workload's runtime directory, which is Envoy's
# working directory: the same file runs on every machine.
APP_SOCKET = "app.sock"
AUTHZ_SOCKET = "authz.sock"
OUTBOUND_SOCKET = "outbound.sock"
EGRESS_SOCKET = "egress.sock"
ADMIN_SOCKET = "admin.sock"
SPIRE_SOCKET = "../spire-agent/api.sock"

# Only the workload's own uid may open its sockets.
OWNER_ONLY = 0o600

# Twice the largest message, so that one message fits with its headers.
BUFFER_BYTES = 131072


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one workload's Envoy configuration is rendered from."""

    mesh: Mesh
    grants: Grants
    rpcs: tuple[Rpc, ...]
    workload: Workload

    def server_name(self, workload: str) -> str:
        """The DNS name in a workload's SVID, used as SNI and as `:authority`."""
        return f"{workload}.{self.mesh.trust_domain}"

    @property
    def callees(self) -> list[Workload]:
        """The services that this workload has a grant to call."""
        names = self.grants.callees(self.mesh, self.workload.name)
        return [self.mesh.workloads[name] for name in names]

    @property
    def asks_health(self) -> bool:
        """Whether this workload is granted the health check of its callees."""
        return any(
            grant.caller == self.workload.name and grant.rpc == HEALTH_CHECK
            for grant in self.grants.grants
        )


HEALTH_CHECK = "/grpc.health.v1.Health/Check"


def seconds(value: float) -> str:
    """A protobuf duration in JSON form."""
    return f"{value:g}s"


def any_(type_: str, **fields: Any) -> Block:
    """A `google.protobuf.Any` in JSON form."""
    return {"@type": _TYPES + type_, **fields}


def extension(name: str, type_: str, **fields: Any) -> Block:
    """A named extension with its typed configuration."""
    return {"name": name, "typed_config": any_(type_, **fields)}


def tcp(address: str, port: int) -> Block:
    """A TCP address. `readdress` changes the port only."""
    return {"socket_address": {"address": address, "port_value": port}}


def pipe(path: str) -> Block:
    """A Unix socket to connect to."""
    return {"pipe": {"path": path}}


def listening_pipe(path: str) -> Block:
    """A Unix socket to listen on, for the owner only."""
    return {"pipe": {"path": path, "mode": OWNER_ONLY}}


def header(name: str, value: str) -> Block:
    """A header to set, whatever was there before."""
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def endpoint(cluster: str, address: Block) -> Block:
    """A static load assignment of one endpoint."""
    return {
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }
