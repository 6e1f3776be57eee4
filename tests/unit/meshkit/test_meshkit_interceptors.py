"""The interceptors, behind a real server on a Unix socket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from meshkit_served import ACCOUNT_ID, info_of, served, status_of
from structlog.testing import capture_logs

from meshkit import testing
from meshkit.context import User, current
from meshkit.errors import MeshError, UpstreamError, from_rpc
from meshkit.money import Money, UnknownCurrencyError
from paymesh.ledger.v1 import ledger_pb2

ALICE = User("alice", "acme", frozenset({"customer"}))


async def test_context_holds_what_the_sidecar_said() -> None:
    """A handler sees the caller, the user and the decision of the sidecar's headers."""
    seen: list[Any] = []

    async def behave(_request: Any, _context: Any) -> ledger_pb2.GetBalanceResponse:
        seen.append(current())
        return ledger_pb2.GetBalanceResponse()

    async with served(behave) as mesh:
        await mesh.get_balance(metadata=testing.headers("payments", ALICE, "Bearer token"))
    assert seen[0].caller.workload == "payments"
    assert seen[0].user == ALICE
    assert seen[0].authorization == "Bearer token"
    assert 0 < seen[0].remaining_seconds() < 5.1


@pytest.mark.parametrize(
    "change",
    [
        {"x-paymesh-caller": None},
        {"x-paymesh-grant": None},
        {"x-paymesh-decision-id": None},
        {"x-paymesh-caller": "paymesh.internal/ns/paymesh/sa/gateway"},
        {"x-paymesh-caller": "spiffe://evil.internal/ns/paymesh/sa/gateway"},
        {"x-paymesh-user": "alice"},
        {"x-paymesh-user": "alice", "x-paymesh-tenant": "acme"},
        {"x-paymesh-roles": "operator"},
    ],
)
async def test_what_did_not_come_through_the_sidecar_is_refused(
    change: dict[str, str | None],
) -> None:
    """Without the sidecar's headers, or with half of them, the handler never runs."""
    merged = dict(testing.headers()) | change
    metadata = tuple((key, value) for key, value in merged.items() if value is not None)
    async with served() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance(metadata=metadata)
        assert mesh.servicer.calls == 0
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert info_of(caught.value).reason == "NOT_THROUGH_SIDECAR"


async def test_a_caller_named_twice_is_refused() -> None:
    """Two caller headers are as good as none, as nobody can say which counts."""
    async with served() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance(metadata=testing.headers("payments") + testing.headers())
        assert mesh.servicer.calls == 0
    assert info_of(caught.value).reason == "NOT_THROUGH_SIDECAR"


async def test_a_mesh_error_becomes_its_status() -> None:
    """Code, reason, message, metadata, domain and retry delay arrive as they were raised."""

    async def behave(_request: Any, _context: Any) -> Any:
        raise MeshError(
            "The account is not there.",
            code=grpc.StatusCode.NOT_FOUND,
            reason="ACCOUNT_NOT_FOUND",
            metadata={"hint": "ask again"},
            retry_after_seconds=1.5,
        )

    async with served(behave) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance()
    error = caught.value
    assert (error.code(), error.details()) == (
        grpc.StatusCode.NOT_FOUND,
        "The account is not there.",
    )
    info = info_of(error)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "ACCOUNT_NOT_FOUND",
        "paymesh.internal",
        {"hint": "ask again"},
    )
    upstream = from_rpc(error)
    assert (upstream.code, upstream.reason, upstream.retry_after_seconds) == (
        grpc.StatusCode.NOT_FOUND,
        "ACCOUNT_NOT_FOUND",
        1.5,
    )
    assert dict(upstream.metadata) == {"hint": "ask again"}


async def test_a_callees_refusal_can_be_let_through() -> None:
    """An UpstreamError that is raised on reaches one's own caller unchanged."""

    async def behave(_request: Any, _context: Any) -> Any:
        raise UpstreamError("no", code=grpc.StatusCode.ABORTED, reason="BUSY")

    async with served(behave) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance()
    assert (caught.value.code(), info_of(caught.value).reason) == (grpc.StatusCode.ABORTED, "BUSY")


async def test_an_unknown_exception_says_nothing() -> None:
    """An exception's text stays in the log; the caller gets a correlation id that is in it too."""

    async def behave(_request: Any, _context: Any) -> Any:
        raise RuntimeError("secret detail")

    async with served(behave) as mesh:
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance()
    info = info_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert info.reason == "INTERNAL"
    assert "secret" not in str(status_of(caught.value))
    assert "secret" not in caught.value.details()
    (line,) = [line for line in logs if line["event"] == "unexpected exception"]
    assert line["correlation_id"] == info.metadata["correlation_id"]


@pytest.mark.parametrize(
    ("raised", "code", "reason"),
    [
        (psycopg.OperationalError("gone"), grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
        (psycopg.errors.DeadlockDetected(), grpc.StatusCode.ABORTED, "DATABASE_CONFLICT"),
        (UnknownCurrencyError("no"), grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_CURRENCY"),
    ],
)
async def test_known_foreign_exceptions_have_reasons(
    raised: Exception, code: grpc.StatusCode, reason: str
) -> None:
    """A database that fails and a domain that refuses become the statuses that are documented."""

    async def behave(_request: Any, _context: Any) -> Any:
        raise raised

    async with served(behave) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance()
    assert (caught.value.code(), info_of(caught.value).reason) == (code, reason)


async def test_validation_names_fields_and_not_values() -> None:
    """A request that breaks the rules is refused with the fields at fault, without their values."""
    bad = ledger_pb2.PostTransferRequest(
        request_id="4111111111111111",
        legs=[
            ledger_pb2.Leg(account_id=ACCOUNT_ID, amount=Money.of("EUR", 5).to_proto()),
            ledger_pb2.Leg(account_id=ACCOUNT_ID),
        ],
    )
    bad.legs[1].amount.currency_code = "secret"
    async with served() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.stub.PostTransfer(bad, metadata=testing.headers(), timeout=5)
        assert mesh.servicer.calls == 0
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(caught.value).reason == "INVALID_REQUEST"
    bad_request = error_details_pb2.BadRequest()
    assert status_of(caught.value).details[1].Unpack(bad_request)
    assert [
        (violation.field, violation.description) for violation in bad_request.field_violations
    ] == [("request_id", "string.uuid"), ("legs[1].amount.currency_code", "string.pattern")]
    everything = str(status_of(caught.value)) + caught.value.details()
    assert "4111" not in everything
    assert "secret" not in everything


@pytest.mark.parametrize(
    "body", [b"\x0a\x05ab", b"\x0a\x01\xff", b"\x07", b"\x7b" * 200 + b"\x7c" * 200]
)
async def test_what_is_no_message_is_refused_like_another(body: bytes) -> None:
    """Bytes that are cut, not UTF-8, of no wire type or nested too deeply: INVALID_REQUEST, a
    line in the log, and the handler never runs.
    """

    async def behave(_request: Any, _context: Any) -> ledger_pb2.GetBalanceResponse:
        raise AssertionError

    async with served(behave) as mesh:
        with capture_logs() as lines, pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.channel.unary_unary("/paymesh.ledger.v1.LedgerService/GetBalance")(
                body, metadata=testing.headers(), timeout=5
            )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(caught.value).reason == "INVALID_REQUEST"
    (line,) = [line for line in lines if line["event"] == "call"]
    assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_a_handler_that_takes_too_long_is_stopped() -> None:
    """The server itself ends a call at its deadline, whatever the client does."""
    cancelled = asyncio.Event()

    async def behave(_request: Any, _context: Any) -> Any:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with served(behave) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance(timeout=0.2)
        async with asyncio.timeout(2):
            await cancelled.wait()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_without_deadline_gets_one() -> None:
    """A caller that names no deadline, or one too long, gets the server's."""
    seen: list[float] = []

    async def behave(_request: Any, _context: Any) -> Any:
        remaining = current().remaining_seconds()
        assert remaining is not None
        seen.append(remaining)
        return ledger_pb2.GetBalanceResponse()

    async with served(behave) as mesh:
        await mesh.get_balance(timeout=None)
        await mesh.get_balance(timeout=3600)
    assert all(10 < remaining <= 15 for remaining in seen)
    assert len(seen) == 2


async def test_a_timeout_of_the_handlers_own_is_no_deadline() -> None:
    """A TimeoutError within the handler is an unknown exception, not DEADLINE_EXCEEDED."""

    async def behave(_request: Any, _context: Any) -> Any:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)

    async with served(behave) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.get_balance()
    assert info_of(caught.value).reason == "INTERNAL"


async def test_each_call_is_one_line_in_the_log() -> None:
    """The line has rpc, caller, user, code, ms and decision id, for an answer and for a refusal."""

    async def refuse(_request: Any, _context: Any) -> Any:
        raise MeshError("no", code=grpc.StatusCode.NOT_FOUND, reason="ACCOUNT_NOT_FOUND")

    lines = []
    for behaviour in (None, refuse):
        async with served(*([behaviour] if behaviour else [])) as mesh:
            with capture_logs() as logs:
                try:
                    await mesh.get_balance(metadata=testing.headers("gateway", ALICE))
                except grpc.aio.AioRpcError:
                    assert behaviour is refuse
                lines += [line for line in logs if line["event"] == "call"]
    answered, refused = lines
    for line in lines:
        assert line["rpc"] == "/paymesh.ledger.v1.LedgerService/GetBalance"
        assert line["caller"] == "spiffe://paymesh.internal/ns/paymesh/sa/gateway"
        assert line["user"] == "alice"
        assert line["decision_id"] == "test-decision"
        assert line["ms"] >= 0
    assert (answered["code"], answered.get("reason")) == ("OK", None)
    assert (refused["code"], refused["reason"]) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")


async def test_a_health_check_is_logged_under_the_askers_trace() -> None:
    """Which of many asked for health can be told by the trace id, although there is no span."""
    asked = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with served() as mesh:
        health = health_pb2_grpc.HealthStub(mesh.channel)
        with capture_logs() as logs:
            traceparent = (("traceparent", f"00-{asked}-00f067aa0ba902b7-01"),)
            request = health_pb2.HealthCheckRequest()
            await health.Check(request, metadata=traceparent, timeout=5)
            await health.Check(request, timeout=5)
    lines = [line for line in logs if line["event"] == "call"]
    assert [line["log_level"] for line in lines] == ["debug", "debug"]
    assert [line.get("trace_id") for line in lines] == [asked, None]


async def test_health_needs_no_caller_and_names_the_services() -> None:
    """The sidecar may ask for health without a caller; the service reports SERVING by name."""
    async with served() as mesh:
        health = health_pb2_grpc.HealthStub(mesh.channel)
        for name in ("", "paymesh.ledger.v1.LedgerService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_is_subject_to_the_sidecar() -> None:
    """Reflection answers through the sidecar and refuses a call that came another way."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with served() as mesh:
        stub = reflection_pb2_grpc.ServerReflectionStub(mesh.channel)
        answers = [
            answer
            async for answer in stub.ServerReflectionInfo(
                iter([request]), metadata=testing.headers(), timeout=5
            )
        ]
        names = {service.name for service in answers[0].list_services_response.service}
        assert "paymesh.ledger.v1.LedgerService" in names
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [answer async for answer in stub.ServerReflectionInfo(iter([request]), timeout=5)]
    assert info_of(caught.value).reason == "NOT_THROUGH_SIDECAR"


async def test_a_message_over_the_limit_is_refused() -> None:
    """A message longer than the limit never reaches the handler."""
    request = ledger_pb2.GetBalanceRequest(account_id="a" * 70_000)
    async with served() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.stub.GetBalance(request, metadata=testing.headers(), timeout=5)
        assert mesh.servicer.calls == 0
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_a_compressed_message_is_refused(compression: grpc.Compression) -> None:
    """What policy cannot have read is not taken."""
    request = ledger_pb2.GetBalanceRequest(account_id=ACCOUNT_ID)
    async with served() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.stub.GetBalance(
                request, metadata=testing.headers(), timeout=5, compression=compression
            )
        assert mesh.servicer.calls == 0
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_unknown_rpc_is_unimplemented() -> None:
    """An RPC that no service has is UNIMPLEMENTED, not an error of ours."""
    async with served() as mesh:
        call = mesh.channel.unary_unary("/paymesh.ledger.v1.LedgerService/Nothing")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=testing.headers(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_contexts_of_calls_at_the_same_time_stay_apart() -> None:
    """Two calls that overlap each see their own caller."""
    both = asyncio.Barrier(2)
    seen: list[tuple[str, str]] = []

    async def behave(_request: Any, _context: Any) -> Any:
        before = current().caller.workload
        await both.wait()
        seen.append((before, current().caller.workload))
        return ledger_pb2.GetBalanceResponse()

    async with served(behave) as mesh:
        started = time.monotonic()
        await asyncio.gather(
            mesh.get_balance(metadata=testing.headers("gateway")),
            mesh.get_balance(metadata=testing.headers("payments")),
        )
    assert sorted(seen) == [("gateway", "gateway"), ("payments", "payments")]
    assert time.monotonic() - started < 5
