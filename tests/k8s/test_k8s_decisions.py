"""The hand-written table of expected decisions against the mesh in the cluster.

Each call starts in a pod of its caller, so that the network, TLS and policy are
all in its way; the SVID is the caller's and the callee's Envoy is asked directly,
so that what is compared is what the callee does.
"""

from __future__ import annotations

import pytest

from k8s.world import Cluster, answer
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh, repository_root
from paymesh.policy import coverage
from policy import table
from policy.tokens import Metadata, metadata

_TABLE = table.load()
_MESH = load_mesh(port_offset=0)
_EDGES = load_grants().edges(_MESH)
_RPCS = coverage.rpcs(repository_root() / "policies" / "descriptors.binpb")
_FEWEST_CASES = 10


@pytest.fixture(scope="module")
def tokens(cluster: Cluster) -> dict[str, Metadata]:
    """The metadata that makes a call each of the table's users'."""
    return metadata(cluster.mesh, cluster.paths, _TABLE)


@pytest.mark.parametrize(
    ("caller", "callee"),
    [(caller, callee) for callee, callers in _EDGES.items() for caller in sorted(callers)],
)
def test_every_edge_in_the_cluster_decides_as_the_table_says(
    cluster: Cluster, tokens: dict[str, Metadata], caller: str, callee: str
) -> None:
    """Every RPC, message and user of an edge gets what the hand-written table expects."""
    cases = [case for case in _TABLE.cases([caller], _RPCS) if _is_of(case, caller, callee)]
    asked = [
        cluster.straight(
            callee,
            cluster.svid(caller),
            case.rpc,
            _messages(cluster, case),
            tokens[case.user],
        )
        for case in cases
    ]
    with cluster.standing_in_for(caller) as place:
        answers = [answer(said) for said in cluster.inside(place, *asked)]
    differing = {
        str(case): f"{found.decided}, expected {case.expected}: {found}"
        for case, found in zip(cases, answers, strict=True)
        if found.decided != case.expected or found.refused_in_handshake
    }
    assert differing == {}
    assert len(cases) > _FEWEST_CASES


def _is_of(case: table.Case, caller: str, callee: str) -> bool:
    served_by = _MESH.service_of(case.rpc)
    return case.caller == caller and (served_by is None or served_by.name == callee)


def _messages(cluster: Cluster, case: table.Case) -> list[bytes]:
    """The message; for one that policy cannot read, two where one belongs."""
    body = _TABLE.bodies[case.body]
    return [b"", b""] if body is None else [cluster.message(case.rpc, body)]
