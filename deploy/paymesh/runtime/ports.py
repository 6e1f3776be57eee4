"""Is a port free? Asked by binding it, before anything is started."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from paymesh.errors import StartError
from paymesh.mesh import Mesh


def needed(mesh: Mesh) -> dict[int, str]:
    """Port → the process that will listen there."""
    found = {mesh.ports["spire_server"]: "spire-server"}
    found[mesh.ports["bundle_server"]] = "bundle-server"
    for external in mesh.external.values():
        found[external.port] = "simulators"
    for workload in mesh.sidecars():
        if workload.port is not None:
            found[workload.port] = f"{workload.name}-envoy"
        if workload.pdp_port is not None:
            found[workload.pdp_port] = f"{workload.name}-pdp"
    return found


def require_free(address: str, ports: Mapping[int, str], offset: int) -> None:
    """Raises:
    StartError: somebody else listens at one of the ports; says which and what to do.
    """
    for port, process in ports.items():
        if not is_free(address, port):
            raise StartError(
                f"port {port} on {address}, which {process} needs, is in use by another program:"
                f" stop that program, or move the whole mesh, for example by"
                f" PAYMESH_PORT_OFFSET={offset + 1000}"
            )


def is_free(address: str, port: int) -> bool:
    """Whether a listener could be opened. Connections in TIME_WAIT are no hindrance."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
