"""The service as a process, killed at every point of a payment and of a refund."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import payments_partners
import payments_service
import psycopg
import pytest
from payments_partners import API_KEY, LINK, MERCHANT, PDP_TOKEN, Partners

from meshkit.context import User
from meshkit.errors import UpstreamError, from_rpc
from meshkit.money import Money
from meshkit.testing import headers
from paymesh.payments.v1 import payments_pb2, payments_pb2_grpc

if TYPE_CHECKING:
    from tests.integration.conftest import Database

SERVICES = Path(__file__).parents[3] / "services"
USER_TOKEN = "eyJhbGciOiJFUzI1NiJ9.test.user-token"
CARD = "4111111111111111"
ALICE = User("alice", "acme", frozenset({"customer"}))
OLIVIA = User("olivia", "acme", frozenset({"operator"}))
START_SECONDS = 30.0
CALL_SECONDS = 15.0


class Process:
    """`python -m payments` in a runtime directory of its own."""

    def __init__(self, directory: Path, partners: Partners, dsn: str) -> None:
        self.directory = directory
        self.partners = partners
        for name, secret in {"dsn": dsn, "pdp-token": PDP_TOKEN, "key": API_KEY}.items():
            (directory / name).write_text(secret)
        self._process: asyncio.subprocess.Process | None = None
        self.log = directory / "payments.log"
        self.channel = grpc.aio.insecure_channel(
            f"unix:{directory / 'app.sock'}", options=(("grpc.max_reconnect_backoff_ms", 200),)
        )
        self.stub = payments_pb2_grpc.PaymentsServiceStub(self.channel)

    async def start(self, *command: str) -> None:
        """Start it and wait until it answers."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{SERVICES}:{SERVICES / '_generated'}",
            "PAYMESH_WORKLOAD": "payments",
            "PAYMESH_TRUST_DOMAIN": "paymesh.internal",
            "PAYMESH_APP_SOCKET": "app.sock",
            "PAYMESH_OUTBOUND_SOCKET": "outbound.sock",
            "PAYMESH_EGRESS_SOCKET": "egress.sock",
            "PAYMESH_DSN_FILE": "dsn",
            "PAYMESH_PDP_URL": self.partners.pdp_url,
            "PAYMESH_PDP_TOKEN_FILE": "pdp-token",
            "PAYMESH_PROVIDER_KEY_FILE": "key",
            "PAYMESH_MAX_MESSAGE_BYTES": "65536",
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(command or (payments_service.__file__,)),
                cwd=self.directory,
                env=environment,
                stderr=log,
            )
        async with asyncio.timeout(START_SECONDS):
            await self.channel.channel_ready()

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit status."""
        process = self._process
        assert process is not None
        if process.returncode is None:
            process.send_signal(number)
        return await process.wait()

    async def kill(self) -> None:
        """Kill -9."""
        await self.end(signal.SIGKILL)

    async def create(self, key: str, **changes: Any) -> payments_pb2.Payment:
        """CreatePayment as alice. Raises UpstreamError."""
        fields: dict[str, Any] = {
            "idempotency_key": key,
            "amount": Money.of("EUR", 1000).to_proto(),
            "payment_method_token": "tok_visa",
            "merchant_account_id": MERCHANT,
            "description": "two coffees",
        }
        request = payments_pb2.CreatePaymentRequest(**(fields | changes))
        return (await self._call(self.stub.CreatePayment, request, ALICE)).payment

    async def refund(self, key: str, payment_id: str, minor_units: int) -> payments_pb2.Payment:
        """RefundPayment as olivia. Raises UpstreamError."""
        request = payments_pb2.RefundPaymentRequest(
            idempotency_key=key,
            payment_id=payment_id,
            amount=Money.of("EUR", minor_units).to_proto(),
        )
        return (await self._call(self.stub.RefundPayment, request, OLIVIA)).payment

    async def get(self, payment_id: str, user: User = ALICE) -> payments_pb2.Payment:
        """GetPayment. Raises UpstreamError."""
        request = payments_pb2.GetPaymentRequest(payment_id=payment_id)
        return (await self._call(self.stub.GetPayment, request, user)).payment

    async def list(self, user: User, token: str = "") -> payments_pb2.ListPaymentsResponse:
        """ListPayments, two a page. Raises UpstreamError."""
        request = payments_pb2.ListPaymentsRequest(page_size=2, page_token=token)
        reply: payments_pb2.ListPaymentsResponse = await self._call(
            self.stub.ListPayments, request, user
        )
        return reply

    async def _call(self, method: Any, request: Any, user: User) -> Any:
        metadata = headers("gateway", user, f"Bearer {USER_TOKEN}")
        try:
            return await method(request, metadata=metadata, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None


async def repeated(call: Callable[[], Any]) -> Any:
    """The call's result, made again as long as its errors say that this helps."""
    for _ in range(60):
        try:
            return await call()
        except UpstreamError as error:
            if error.code not in {grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE}:
                raise
            await asyncio.sleep(min(error.retry_after_seconds or 0.2, 0.2))
    pytest.fail("the call never got an answer")


@pytest.fixture
async def process(empty_database: Database) -> AsyncIterator[Process]:
    """The service, not yet started, and its partners."""
    # A socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pay", dir="/tmp") as name:
        directory = Path(name)
        async with payments_partners.serving(directory) as partners:
            process = Process(directory, partners, empty_database.service_dsn)
            yield process
            await process.kill()
            await process.channel.close()


async def unfinished(database: Database) -> int:
    """How many operations have been begun and not finished."""
    async with await psycopg.AsyncConnection.connect(database.superuser_dsn) as connection:
        found = await connection.execute(
            "SELECT count(*) FROM operation WHERE begun AND finish_time IS NULL"
        )
        row = await found.fetchone()
        assert row is not None
        return int(row[0])


async def finished(database: Database) -> None:
    """Wait until the worker has finished everything, with nobody asking."""
    for _ in range(150):
        if await unfinished(database) == 0:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the worker left something unfinished")


async def test_killed_at_every_point_of_a_payment(
    process: Process, empty_database: Database
) -> None:
    """Killed before and after each partner's work, the payment is made once and answered."""
    partners = process.partners
    await process.start()
    # The clearing account first: later a process may know it already.
    points = [
        "clearing", "account", "charge-before", "charge-after",
        "payment post-before", "payment post-after",
    ]  # fmt: skip
    for count, point in enumerate(points, start=1):
        key = f"key-{count}"
        partners.hooks.at(point, process.kill)
        with pytest.raises(UpstreamError) as raised:
            await process.create(key)
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE, point
        assert partners.hooks.are_done, point
        await process.start()
        # What may have moved money is finished by the worker before anybody asks.
        await finished(empty_database)
        assert len(await partners.rows("charges")) == len(partners.ledger.transfers), point
        payment = await repeated(lambda key=key: process.create(key))
        assert payment.state == payments_pb2.PAYMENT_STATE_SUCCEEDED, point
        assert await process.create(key) == payment, point
        charges = await partners.rows("charges")
        assert len(charges) == len(partners.ledger.transfers) == count, point
        assert charges[-1]["reference"] == payment.payment_id, point
    assert partners.ledger.balance(MERCHANT) == 1000 * len(points)


async def test_killed_at_every_point_of_a_refund(
    process: Process, empty_database: Database
) -> None:
    """Killed before and after each partner's work, the money is given back once."""
    partners = process.partners
    await process.start()
    payment_id = (await process.create("key")).payment_id
    points = ["refund-before", "refund-after", "refund post-before", "refund post-after"]
    for count, point in enumerate(points, start=1):
        key = f"refund-{count}"
        partners.hooks.at(point, process.kill)
        with pytest.raises(UpstreamError):
            await process.refund(key, payment_id, 100)
        assert partners.hooks.are_done, point
        await process.start()
        await finished(empty_database)
        payment = await repeated(lambda key=key: process.refund(key, payment_id, 100))
        assert payment.refunded_amount.minor_units == 100 * count, point
        assert len(await partners.rows("refunds")) == count, point
    assert len(await partners.rows("charges")) == 1
    assert partners.ledger.balance(MERCHANT) == 1000 - 100 * len(points)


async def test_fifty_concurrent_calls_of_one_key(process: Process) -> None:
    """Over the wire: one charge, one answer, and everybody else is told when to come again."""
    await process.start("-m", "payments")
    results = await asyncio.gather(
        *(process.create("key", payment_method_token="tok_slow") for _ in range(50)),
        return_exceptions=True,
    )
    # Not all 49 others, should the machine be so busy that some come after the answer.
    errors = [result for result in results if isinstance(result, UpstreamError)]
    answers = [result for result in results if isinstance(result, payments_pb2.Payment)]
    assert errors
    assert answers
    assert len(errors) + len(answers) == 50
    for error in errors:
        assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_KEY_IN_USE")
        assert error.retry_after_seconds is not None
        assert 0 < error.retry_after_seconds <= 2
    again = await asyncio.gather(
        *(process.create("key", payment_method_token="tok_slow") for _ in range(50))
    )
    assert len({payment.SerializeToString() for payment in [*answers, *again]}) == 1
    assert len(await process.partners.rows("charges")) == 1
    assert len(process.partners.ledger.transfers) == 1
    assert await process.end(signal.SIGTERM) == 0


async def test_conversation_with_the_service(process: Process) -> None:
    """Declines, faults, bank links, refusals and reads, each as the proto says, over the wire."""
    partners = process.partners
    await process.start("-m", "payments")

    for token, code in {
        "tok_declined": "card_declined",
        "tok_insufficient": "insufficient_funds",
    }.items():
        for _ in range(2):
            with pytest.raises(UpstreamError) as raised:
                await process.create(token, payment_method_token=token)
            assert raised.value.reason == "PAYMENT_DECLINED"
            assert raised.value.metadata == {"decline_code": code}
    # A fault that passes, and an answer that is lost once, are got over within the call.
    for token in ("tok_error_1", "tok_lost_1"):
        payment = await process.create(token, payment_method_token=token)
        assert payment.state == payments_pb2.PAYMENT_STATE_SUCCEEDED
    # A fault that stays is no failure.
    with pytest.raises(UpstreamError) as raised:
        await process.create("broken", payment_method_token="tok_broken")
    assert (raised.value.code, raised.value.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "PROVIDER_UNAVAILABLE",
    )
    with pytest.raises(UpstreamError) as raised:
        await process.create("unknown", payment_method_token="tok_nobody_knows")
    assert raised.value.metadata == {"decline_code": "source_invalid"}

    paid = await process.create("link", bank_link_id=LINK)
    assert await process.get(paid.payment_id) == paid
    with pytest.raises(UpstreamError) as raised:
        await process.create("other-link", bank_link_id=str(uuid.uuid4()))
    assert raised.value.reason == "LINK_NOT_FOUND"
    with pytest.raises(UpstreamError) as raised:
        await process.create("no-account", merchant_account_id=str(uuid.uuid4()))
    assert raised.value.reason == "ACCOUNT_NOT_FOUND"
    with pytest.raises(UpstreamError) as raised:
        await process.create("dollars", amount=Money.of("USD", 1).to_proto())
    assert raised.value.reason == "CURRENCY_MISMATCH"
    with pytest.raises(UpstreamError) as raised:
        await process.create("link")
    assert raised.value.reason == "IDEMPOTENCY_KEY_REUSED"

    first = await process.list(OLIVIA)
    second = await process.list(OLIVIA, first.next_page_token)
    listed = [*first.payments, *second.payments]
    assert listed[0] == paid
    assert len({payment.payment_id for payment in listed}) == 4
    with pytest.raises(UpstreamError) as raised:
        await process.list(ALICE, first.next_page_token)
    assert raised.value.reason == "INVALID_PAGE_TOKEN"

    partners.denied = {"payments.read"}
    with pytest.raises(UpstreamError) as raised:
        await process.get(paid.payment_id)
    assert (raised.value.code, raised.value.reason) == (
        grpc.StatusCode.NOT_FOUND,
        "PAYMENT_NOT_FOUND",
    )
    asked = partners.questions[-1]
    assert asked["object"] == {"tenant": "acme", "owner": "alice"}
    assert asked["caller"] == "spiffe://paymesh.internal/ns/paymesh/sa/gateway"
    assert set(partners.ledger.authorizations) == {f"Bearer {USER_TOKEN}"}
    assert len([row for row in await partners.rows("charges") if row["status"] == "succeeded"]) == 3


@pytest.mark.parametrize("field", ["idempotency_key", "payment_method_token", "description"])
async def test_card_number_leaves_no_trace(
    process: Process, empty_database: Database, field: str
) -> None:
    """A card number is refused before anything is stored, asked, charged or logged."""
    await process.start()
    with pytest.raises(UpstreamError) as raised:
        await process.create(**({"key": "key"} | {field: CARD}))
    assert (raised.value.code, raised.value.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CARD_NUMBER_REFUSED",
    )
    await process.end(signal.SIGTERM)
    assert CARD not in str(raised.value) + repr(raised.value.metadata)
    with psycopg.connect(empty_database.superuser_dsn) as connection:
        row = connection.execute("SELECT count(*) FROM operation").fetchone()
        assert row == (0,)
    log = process.log.read_text()
    assert "CARD_NUMBER_REFUSED" in log
    for secret in (CARD, CARD[:6], API_KEY, USER_TOKEN, PDP_TOKEN):
        assert secret not in log
    assert process.partners.ledger.authorizations == []
