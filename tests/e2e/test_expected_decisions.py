"""The hand-written table of expected decisions against the running mesh.

The callers are not sidecars but holders of the workloads' SVIDs, so that what is
compared is what the callee does and not what a well-behaved caller asks for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory

from e2e.world import World
from paymesh import dial
from paymesh.calls import refusal
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh, repository_root
from paymesh.policy import coverage
from policy import table
from policy.tokens import Metadata, metadata

_TABLE = table.load()
_MESH = load_mesh(port_offset=0)
_EDGES = load_grants().edges(_MESH)
_RPCS = coverage.rpcs(repository_root() / "policies" / "descriptors.binpb")


@pytest.fixture(scope="module")
def channels(world: World) -> Iterator[dict[tuple[str, str], grpc.Channel]]:
    """A connection for each granted edge, with the caller's SVID."""
    with contextlib.ExitStack() as stack:
        yield {
            (caller, callee): stack.enter_context(
                dial.direct(world.mesh, callee, world.svid(caller))
            )
            for callee, callers in _EDGES.items()
            for caller in callers
        }


@pytest.fixture(scope="module")
def tokens(world: World) -> dict[str, Metadata]:
    """The metadata that makes a call each of the table's users'."""
    return metadata(world.mesh, world.paths, _TABLE)


def _message(world: World, rpc: str, body: Any) -> list[bytes]:
    """The message; for one that policy cannot read, two where one belongs."""
    if body is None:
        return [b"", b""]
    method = world.catalogue.method(rpc)
    request = message_factory.GetMessageClass(method.input_type)()
    return [json_format.ParseDict(body, request, ignore_unknown_fields=True).SerializeToString()]


def _decided(
    channel: grpc.Channel, rpc: str, messages: list[bytes], metadata: list[tuple[str, str]]
) -> str:
    """The policy's reason, or ALLOWED for whatever the service itself answered."""
    try:
        channel.stream_unary(rpc)(iter(messages), timeout=10, metadata=metadata)
    except grpc.RpcError as error:
        reply = refusal(error)
        return (reply.reason or reply.code) if reply.decision_id else "ALLOWED"
    return "ALLOWED"


@pytest.mark.parametrize(
    ("caller", "callee"),
    [(caller, callee) for callee, callers in _EDGES.items() for caller in sorted(callers)],
)
@pytest.mark.timeout(180)
def test_the_running_mesh_decides_as_the_table_says(
    world: World,
    channels: dict[tuple[str, str], grpc.Channel],
    tokens: dict[str, Metadata],
    caller: str,
    callee: str,
) -> None:
    """Every RPC, message and user of an edge gets what the hand-written table expects."""
    differing = {}
    count = 0
    for case in _TABLE.cases([caller], _RPCS):
        served_by = _MESH.service_of(case.rpc)
        if case.caller != caller or (served_by is not None and served_by.name != callee):
            continue
        count += 1
        body = _message(world, case.rpc, _TABLE.bodies[case.body])
        decided = _decided(channels[caller, callee], case.rpc, body, tokens[case.user])
        if decided != case.expected:
            differing[str(case)] = f"{decided}, expected {case.expected}"
    assert differing == {}
    assert count > 10
