"""The relay as a process of the supervisor's, in the copies of the arms that have it."""

from __future__ import annotations

from pathlib import Path

from paymesh.mesh import Mesh
from paymesh.runtime import probes
from paymesh.runtime.accounts import POSTGRES, Account
from paymesh.runtime.process import Spec
from paymesh.runtime.programs import Python
from paymesh.runtime.workspace import Workspace

RELAY = "database-relay"
"""A platform process of the copy's deploy/mesh.yaml."""

_PROGRAM = Path("paymesh/attack/relay/program.py")


def port_name(database: str) -> str:
    """The name of a database's port in `local.ports` of the copy's deploy/mesh.yaml."""
    return f"database_{database}"


def databases(mesh: Mesh) -> list[str]:
    """Those of the services."""
    return [workload.database for workload in mesh.services() if workload.database]


def ports(mesh: Mesh) -> dict[str, tuple[str, int]]:
    """Address and port of each database that has one, by the database's name."""
    return {
        name: (mesh.address, mesh.ports[port_name(name)])
        for name in databases(mesh)
        if port_name(name) in mesh.ports
    }


def spec(workspace: Workspace, python: Python) -> Spec:
    """One process for all databases: it may open PostgreSQL's socket, and passwords are asked
    for as ever.
    """
    mesh, paths = workspace.mesh, workspace.paths
    found = ports(mesh)
    uid = mesh.uid(RELAY)
    return Spec(
        name=RELAY,
        argv=(
            *(python.executable, "-I", python.tools / _PROGRAM),
            paths.workload(POSTGRES) / ".s.PGSQL.5432",
            *(f"{address}:{port}" for address, port in found.values()),
        ),
        directory=paths.workload(RELAY),
        account=Account(uid, uid, (mesh.database_gid,)),
        after=(POSTGRES,),
        ready=probes.all_of(*(probes.tcp(address, port) for address, port in found.values())),
    )
