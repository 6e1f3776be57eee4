"""Questions to the policy decision point: whatever is not plainly allowed refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meshkit import context, testing
from meshkit.context import User
from meshkit.errors import NotThroughSidecar
from meshkit.pdp import ObjectDenied, ObjectPolicy, PolicyUnavailable
from meshkit.testing.pdp import FakePdp

ALICE = User("alice", "acme", frozenset({"customer"}))


@pytest.fixture
async def pdp() -> AsyncIterator[FakePdp]:
    """A policy decision point that allows everything."""
    async with FakePdp(lambda _question: True) as running:
        yield running


@pytest.fixture
async def policy(pdp: FakePdp, tmp_path: Path) -> AsyncIterator[ObjectPolicy]:
    """What is tested, asking it."""
    config = testing.app_config(tmp_path, pdp_url=pdp.url)
    async with ObjectPolicy(config, timeout_seconds=0.5) as policy:
        yield policy


async def ask(policy: ObjectPolicy, **options: object) -> None:
    """Ask whether Alice may read her payment."""
    with context.activate(testing.call_context("gateway", ALICE, **options)):  # type: ignore[arg-type]
        await policy.allowed("payments.read", {"tenant": "acme", "owner": "alice"})


async def test_the_question_is_what_the_policy_expects(pdp: FakePdp, policy: ObjectPolicy) -> None:
    """Action, caller, user and object arrive as documented; the token opens the door."""
    await ask(policy)
    with context.activate(testing.call_context("statements")):
        await policy.allowed("accounts.read", {"tenant": "acme"})
    assert pdp.questions == [
        {
            "action": "payments.read",
            "caller": "spiffe://paymesh.internal/ns/paymesh/sa/gateway",
            "user": {"sub": "alice", "tenant": "acme", "roles": ["customer"]},
            "object": {"tenant": "acme", "owner": "alice"},
        },
        {
            "action": "accounts.read",
            "caller": "spiffe://paymesh.internal/ns/paymesh/sa/statements",
            "user": None,
            "object": {"tenant": "acme"},
        },
    ]


async def test_connections_are_reused(pdp: FakePdp, policy: ObjectPolicy) -> None:
    """A hundred questions one after another go over one connection."""
    for _ in range(100):
        await ask(policy)
    assert pdp.connections == 1


async def test_the_first_questions_at_once_open_one_session(
    pdp: FakePdp, policy: ObjectPolicy
) -> None:
    """Questions asked at the same time before anything is open are all answered."""
    await asyncio.gather(*(ask(policy) for _ in range(20)))
    assert len(pdp.questions) == 20


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"result": null}',
        b'{"result": true}',
        b'{"result": []}',
        b'{"result": "allowed"}',
        b'{"result": {}}',
        b'{"result": {"allowed": false}}',
        b'{"result": {"allowed": 1}}',
        b'{"result": {"allowed": "true"}}',
        b'{"result": {"allowed": null, "reason": 5}}',
        b"[]",
        b"",
        b"null",
    ],
)
async def test_anything_but_allowed_true_refuses(
    pdp: FakePdp, policy: ObjectPolicy, body: bytes
) -> None:
    """Undefined, other types and everything that only resembles `true` are refusals."""
    pdp.body = body
    with pytest.raises(ObjectDenied):
        await ask(policy)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_an_error_of_the_engine_is_unavailable(
    pdp: FakePdp, policy: ObjectPolicy, status: int
) -> None:
    """An answer that is an error is nobody's decision, even if its body says allowed."""
    pdp.status, pdp.body = status, b'{"result": {"allowed": true}}'
    with pytest.raises(PolicyUnavailable):
        await ask(policy)


@pytest.mark.parametrize("body", [b"<html>", b'{"result": {"allowed": true'])
async def test_garbage_is_unavailable(pdp: FakePdp, policy: ObjectPolicy, body: bytes) -> None:
    """An answer that is no JSON is nobody's decision."""
    pdp.body = body
    with pytest.raises(PolicyUnavailable):
        await ask(policy)


async def test_a_slow_engine_is_unavailable(pdp: FakePdp, policy: ObjectPolicy) -> None:
    """The wait for the engine is bounded by the timeout."""
    pdp.delay_seconds = 20
    started = time.monotonic()
    with pytest.raises(PolicyUnavailable):
        await ask(policy)
    assert 0.4 < time.monotonic() - started < 10


async def test_the_calls_deadline_bounds_the_wait(pdp: FakePdp, tmp_path: Path) -> None:
    """A call with little time left does not wait longer than that."""
    pdp.delay_seconds = 20
    config = testing.app_config(tmp_path, pdp_url=pdp.url)
    async with ObjectPolicy(config, timeout_seconds=15) as patient:
        started = time.monotonic()
        with pytest.raises(PolicyUnavailable):
            await ask(patient, deadline_seconds=started + 0.1)
        assert time.monotonic() - started < 10


async def test_an_engine_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """A refused connection is UNAVAILABLE at once, with a hint when to try again."""
    config = testing.app_config(tmp_path, pdp_url="http://127.0.0.1:9")
    async with ObjectPolicy(config) as policy:
        with pytest.raises(PolicyUnavailable) as caught:
            await ask(policy)
    assert caught.value.retry_after_seconds == 1.0


async def test_a_wrong_token_is_unavailable(pdp: FakePdp, tmp_path: Path) -> None:
    """An engine that does not know us has not decided anything."""
    config = testing.app_config(tmp_path, pdp_url=pdp.url, pdp_token="other")
    async with ObjectPolicy(config) as policy:
        with pytest.raises(PolicyUnavailable):
            await ask(policy)
    assert pdp.questions == []


async def test_an_engine_that_restarted_is_asked_again(tmp_path: Path) -> None:
    """A connection that the engine closed meanwhile costs no call."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Answers once and then closes without a word, as a server does that stops.
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"result": {"allowed": true}}'
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        await reader.read(65536)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = testing.app_config(tmp_path, pdp_url=f"http://127.0.0.1:{port}")
    async with server, ObjectPolicy(config) as policy:
        for _ in range(5):
            await ask(policy)


async def test_outside_of_a_call_there_is_nothing_to_ask(policy: ObjectPolicy) -> None:
    """A background task has no caller and cannot ask on anybody's behalf."""
    with pytest.raises(NotThroughSidecar):
        await policy.allowed("payments.read", {})
