"""The flat network's database ports: a relay for each database to PostgreSQL's Unix socket."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from paymesh.attack.arms.build import RELAY, database_port, databases
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import launch, programs
from paymesh.runtime.accounts import POSTGRES, Account

_BACKLOG = 64
_END_SECONDS = 10


@contextlib.contextmanager
def open_databases(paths: Paths, mesh: Mesh) -> Iterator[Mapping[str, tuple[str, int]]]:
    """Opens the ports for as long as the block lasts; passwords are asked for as ever.

    Yields:
        Address and port by the database's name.

    Raises:
        OSError: a port is taken.
    """
    found = {name: (mesh.address, mesh.ports[database_port(name)]) for name in databases(mesh)}
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(_listener(*where)) for where in found.values()]
        descriptors = [listener.fileno() for listener in listeners]
        uid = mesh.uid(RELAY)
        python = programs.load_python(paths, separate_uids=True)
        program: list[str | Path] = [
            python.executable,
            "-I",
            python.tools / Path(__file__).with_name("relay.py").relative_to(_tools()),
            paths.workload(POSTGRES) / ".s.PGSQL.5432",
            *(str(descriptor) for descriptor in descriptors),
        ]
        log = stack.enter_context(paths.log(RELAY).open("ab"))
        relay = subprocess.Popen(
            launch.command(program, Account(uid, uid, (mesh.database_gid,)), death_signal="KILL"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # By which the search for what listens knows whose it is: uids are every mesh's.
            cwd=paths.home,
            env=launch.minimal_environment(Path("/"), {}),
            pass_fds=descriptors,
        )
        try:
            for listener in listeners:
                listener.close()
            yield found
        finally:
            relay.kill()
            relay.wait(_END_SECONDS)


def _tools() -> Path:
    """The directory that `paymesh` is imported from here."""
    return Path(__file__).resolve().parents[3]


def _listener(address: str, port: int) -> socket.socket:
    return socket.create_server((address, port), backlog=_BACKLOG)
