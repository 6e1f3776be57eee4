"""Reflection is subject to policy like every other RPC."""

from __future__ import annotations

import grpc
from grpc_reflection.v1alpha import reflection_pb2

from e2e.test_policy_edits import edited
from e2e.world import World
from paymesh import dial
from paymesh.calls import refusal

_GRANTS = "policies/paymesh/grants/data.yaml"
_RPC = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_CLOSED = (
    f"  - rpc: {_RPC}\n"
    "    why: Developers read the protos; open it with a grant for a workload on a test machine.\n"
)
_GRANT = (
    "grants:\n"
    "  - id: statements-reflection\n"
    "    caller: statements\n"
    f"    rpc: {_RPC}\n"
    "    conditions: [no_user]\n"
    "    why: A test opens it for a moment.\n"
)


def _listed(world: World) -> list[str] | str:
    """The services that the ledger lists to the batch job, or the reason why it does not."""
    with dial.direct(world.mesh, "ledger", world.svid("statements")) as channel:
        call = channel.stream_stream(
            _RPC,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="*")
        try:
            answer = next(iter(call(iter([request]), timeout=5)))
        except grpc.RpcError as error:
            return refusal(error).reason or error.code().name
    return sorted(service.name for service in answer.list_services_response.service)


def test_reflection_is_closed_until_a_grant_opens_it(world: World) -> None:
    """Closed, it is refused as such; granted, it answers; withdrawn, it is closed again."""
    assert _listed(world) == "RPC_CLOSED"
    with edited(_GRANTS, _CLOSED, ""), edited(_GRANTS, "grants:\n", _GRANT):
        world.until(lambda: isinstance(_listed(world), list), "the grant does not open it")
        assert "paymesh.ledger.v1.LedgerService" in _listed(world)
    world.until(lambda: _listed(world) == "RPC_CLOSED", "it stays open")
