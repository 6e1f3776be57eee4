"""SPIRE's entries and configuration, as text."""

from __future__ import annotations

import re
from pathlib import Path

from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.render import spire


def _mesh(offset: int = 0) -> Mesh:
    return load_mesh(repository_root(), port_offset=offset)


def _server(mesh: Mesh, connection_string: str = "host=/run/pg dbname=spire") -> str:
    return spire.server_conf(
        mesh,
        data_dir=Path("/data/server"),
        socket=Path("/run/server/api.sock"),
        connection_string=connection_string,
        node_ca=Path("/data/ca.pem"),
    )


def _agent(mesh: Mesh, *, discover_workload_path: bool = False) -> str:
    return spire.agent_conf(
        mesh,
        data_dir=Path("/data/agent"),
        socket=Path("/run/agent/api.sock"),
        bundle=Path("/data/bundle.pem"),
        certificate=Path("/data/node.crt"),
        private_key=Path("/data/node.key"),
        discover_workload_path=discover_workload_path,
    )


def test_one_entry_for_each_workload() -> None:
    """Every workload has an identity, and no two share selectors."""
    mesh = _mesh()
    entries = spire.entries(mesh, spire.uid_selectors(mesh))["entries"]
    assert [e["spiffe_id"] for e in entries] == [mesh.spiffe_id(name) for name in mesh.workloads]
    selectors = [str(entry["selectors"]) for entry in entries]
    assert len(set(selectors)) == len(selectors)


def test_selectors_are_the_environments() -> None:
    """A mesh without uids of its own tells workloads apart by whatever it says."""
    mesh = _mesh()
    made = spire.entries(mesh, lambda name: [("unix", f"path:/bin/{name}"), ("unix", "uid:1000")])
    assert made["entries"][0]["selectors"] == [
        {"type": "unix", "value": "path:/bin/gateway"},
        {"type": "unix", "value": "uid:1000"},
    ]


def test_entries_name_the_agent_that_x509pop_makes() -> None:
    """The parent of the entries is what the path template makes of the node's certificate."""
    mesh = _mesh()
    path = spire.AGENT_PATH_TEMPLATE.replace("{{ .Subject.CommonName }}", spire.AGENT_COMMON_NAME)
    assert spire.agent_id(mesh) == f"spiffe://{mesh.trust_domain}/spire/agent{path}"


def test_server_and_agent_meet_at_the_moved_port() -> None:
    """Both sides follow PAYMESH_PORT_OFFSET."""
    mesh = _mesh(offset=300)
    port = str(mesh.ports["spire_server"])
    assert f'bind_port = "{port}"' in _server(mesh)
    assert f'server_port = "{port}"' in _agent(mesh)


def test_agent_has_no_administration() -> None:
    """Nobody may debug or delegate through the agent."""
    assert "admin_socket_path" not in _agent(_mesh())


def test_paths_are_discovered_only_when_asked() -> None:
    """`unix:path` selectors cost a read of the binary, so they are an option."""
    assert "discover_workload_path = false" in _agent(_mesh())
    assert "discover_workload_path = true" in _agent(_mesh(), discover_workload_path=True)


def test_quotes_do_not_end_a_string() -> None:
    """A connection string with quotes and backslashes stays one HCL string."""
    text = _server(_mesh(), connection_string='host=/x password=a"b\\c')
    assert 'connection_string = "host=/x password=a\\"b\\\\c"' in text
    assert len(re.findall(r"^plugins \{", text, re.MULTILINE)) == 1
