"""Free ports, by trying."""

from __future__ import annotations

import socket

import pytest

from paymesh.errors import StartError
from paymesh.mesh import Mesh, load_mesh
from paymesh.runtime import ports


def test_a_taken_port_is_named_with_what_to_do() -> None:
    """One sentence: which port, for what, and the variable that moves the mesh."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ports.is_free("127.0.0.1", port)
        with pytest.raises(StartError) as error:
            ports.require_free("127.0.0.1", {port: "ledger-envoy"}, 500)
    for words in (str(port), "ledger-envoy", "PAYMESH_PORT_OFFSET=1500"):
        assert words in str(error.value)
    assert ports.is_free("127.0.0.1", port)


def test_connections_that_are_closing_are_no_hindrance() -> None:
    """After a stop the ports are in TIME_WAIT for a minute; a start does not wait for it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()
            client.recv(1)
    assert ports.is_free("127.0.0.1", port)


def test_every_port_of_the_mesh_is_asked_for(mesh: Mesh) -> None:
    """Each listener in deploy/mesh.yaml, moved by the offset, and each once."""
    wanted = set(mesh.ports.values())
    for workload in mesh.workloads.values():
        wanted |= {port for port in (workload.port, workload.pdp_port) if port is not None}
    assert set(ports.needed(mesh)) == wanted
    moved = load_mesh(port_offset=1000)
    assert set(ports.needed(moved)) == {port + 1000 for port in wanted}
