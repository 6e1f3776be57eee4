"""With a part of the mesh gone nothing is allowed that would not be allowed with it."""

from __future__ import annotations

import pytest

from e2e.world import World
from paymesh.runtime import control

_QUESTIONS = {
    "payments": ("alice", "payments/ListPayments"),
    "ledger": ("audrey", "ledger/ListBalances"),
    "bank-link": ("alice", "bank-link/ListLinks"),
}


def _ask(world: World, callee: str):
    user, rpc = _QUESTIONS[callee]
    request = {"legal_entity": "acme"} if callee == "ledger" else {}
    return world.as_user(user, rpc, request)


@pytest.mark.parametrize("callee", sorted(_QUESTIONS))
@pytest.mark.parametrize("without", [control.stopped, control.paused])
def test_without_a_policy_engine_a_service_is_unavailable(
    world: World, callee: str, without
) -> None:
    """With its PDP stopped or hanging a service answers UNAVAILABLE with that reason, within the
    authorisation timeout, and nothing runs.
    """
    with without(world.paths, f"{callee}-pdp"), world.nothing_runs_in(callee):
        reply = _ask(world, callee)
        assert (reply.code, reply.reason) == ("UNAVAILABLE", "POLICY_ENGINE_UNAVAILABLE")
    assert _ask(world, callee).ok


@pytest.mark.parametrize("callee", sorted(_QUESTIONS))
def test_without_its_app_a_service_is_unavailable(world: World, callee: str) -> None:
    """With its app stopped a service answers UNAVAILABLE with a reason."""
    with control.stopped(world.paths, f"{callee}-app"):
        reply = _ask(world, callee)
        assert reply.code == "UNAVAILABLE"
        assert reply.reason == "SERVICE_UNAVAILABLE"
    assert _ask(world, callee).ok


def test_without_the_database_a_service_is_unavailable(world: World) -> None:
    """With PostgreSQL stopped a call is UNAVAILABLE with that reason, and then works again."""
    with control.stopped(world.paths, "postgres"):
        reply = _ask(world, "ledger")
        assert reply.code == "UNAVAILABLE"
        assert reply.reason == "DATABASE_UNAVAILABLE"
    assert _ask(world, "ledger").ok


@pytest.mark.parametrize("process", ["spire-server", "spire-agent", "bundle-server"])
def test_calls_go_on_without_the_control_plane(world: World, process: str) -> None:
    """With SPIRE or the bundle server stopped, identities and policies already held still serve."""
    with control.stopped(world.paths, process):
        for callee in _QUESTIONS:
            assert _ask(world, callee).ok
