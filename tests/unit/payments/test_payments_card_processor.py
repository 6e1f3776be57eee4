"""What counts as an outcome at the card processor, and what goes over the wire."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

import payments.providers.card_processor as module
from meshkit.money import Money
from payments.domain import Source, SourceKind
from payments.errors import ProviderUnavailableError
from payments.providers import Charged, Declined, Rejected, Returned
from payments.providers.card_processor import CardProcessor

PAYMENT = uuid.uuid4()
AMOUNT = Money.of("JPY", 1250)
CARD = Source(SourceKind.CARD_TOKEN, "tok_visa")
API_KEY = "sk_test_key"
Respond = Callable[[httpx.Request], httpx.Response]


def _error(status: int, kind: str, code: object = "some_code") -> httpx.Response:
    return httpx.Response(status, json={"error": {"type": kind, "code": code, "message": "no"}})


def _declined(code: object) -> httpx.Response:
    return httpx.Response(200, json={"status": "declined", "decline_code": code})


class Wire:
    """A processor whose requests are kept and answered by a function."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.respond: Respond = lambda _: httpx.Response(200, json={"id": "x", "status": "?"})
        client = httpx.AsyncClient(
            base_url=f"http://{module.HOST}", transport=httpx.MockTransport(self._handle)
        )
        self.client = client
        self.processor = CardProcessor(client, API_KEY)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.respond(request)


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    """The wire, without pauses."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    made = Wire()
    yield made
    await made.client.aclose()


async def test_charge_goes_out_as_documented(wire: Wire) -> None:
    """Path, host, key, idempotency key and body of a charge are those of the wire format."""
    wire.respond = lambda _: httpx.Response(200, json={"id": "ch_1", "status": "succeeded"})
    assert await wire.processor.charge(PAYMENT, AMOUNT, CARD) == Charged("ch_1")
    (request,) = wire.requests
    assert str(request.url) == "http://api.cards.test/v1/charges"
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["idempotency-key"] == f"payment-{PAYMENT}"
    assert json.loads(request.content) == {
        "amount": 1250,
        "currency": "JPY",
        "source": "tok_visa",
        "reference": str(PAYMENT),
    }


async def test_bank_link_is_charged_by_its_id(wire: Wire) -> None:
    """A bank account goes to the provider as a pointer."""
    wire.respond = lambda _: httpx.Response(200, json={"id": "ch_1", "status": "succeeded"})
    await wire.processor.charge(PAYMENT, AMOUNT, Source(SourceKind.BANK_LINK, "a-b"))
    assert json.loads(wire.requests[0].content)["source"] == "bank:a-b"


async def test_refund_goes_out_as_documented(wire: Wire) -> None:
    """Path, idempotency key and body of a refund are those of the wire format."""
    wire.respond = lambda _: httpx.Response(200, json={"id": "re_1", "status": "succeeded"})
    assert await wire.processor.refund(PAYMENT, "ch_1", AMOUNT) == Returned("re_1")
    (request,) = wire.requests
    assert request.url.path == "/v1/refunds"
    assert request.headers["idempotency-key"] == f"refund-{PAYMENT}"
    assert json.loads(request.content) == {"charge": "ch_1", "amount": 1250}


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (
            httpx.Response(200, json={"status": "declined", "decline_code": "card_declined"}),
            "card_declined",
        ),
        (httpx.Response(200, json={"status": "declined"}), "declined"),
        (httpx.Response(200, json={"status": "declined", "decline_code": "4111 <b>"}), "declined"),
        (_error(400, "invalid_request_error", "source_invalid"), "source_invalid"),
        (_error(402, "card_error", "expired_card"), "expired_card"),
        (_error(404, "invalid_request_error", "charge_missing"), "charge_missing"),
        (_error(400, "invalid_request_error", 7), "declined"),
    ],
)
async def test_final_refusals(wire: Wire, response: httpx.Response, code: str) -> None:
    """What says that nothing was done, for good, is a decline with a code that can be shown."""
    wire.respond = lambda _: response
    assert await wire.processor.charge(PAYMENT, AMOUNT, CARD) == Declined(code)
    assert await wire.processor.refund(PAYMENT, "ch_1", AMOUNT) == Rejected(code)
    assert len(wire.requests) == 2


@pytest.mark.parametrize(
    "response",
    [
        _error(400, "idempotency_error"),
        _error(400, "api_error"),
        _error(401, "authentication_error"),
        _error(403, "invalid_request_error"),
        _error(409, "idempotency_error"),
        _error(429, "rate_limit_error"),
        _error(500, "api_error"),
        _error(503, "invalid_request_error"),
        httpx.Response(404, text="no route"),
        httpx.Response(400, text="bad"),
        httpx.Response(400, json=["error"]),
        httpx.Response(400, json={"error": "bad"}),
        httpx.Response(302, headers={"location": "http://elsewhere/"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=None),
        httpx.Response(200, json={"id": "ch_1"}),
        httpx.Response(200, json={"id": "ch_1", "status": "pending"}),
        httpx.Response(200, json={"status": "succeeded"}),
        httpx.Response(200, json={"id": 7, "status": "succeeded"}),
        httpx.Response(200, json={"id": "a b\n", "status": "succeeded"}),
        httpx.Response(201, json={"id": "ch_1", "status": "succeeded"}),
    ],
)
async def test_everything_else_is_unknown(wire: Wire, response: httpx.Response) -> None:
    """An answer that does not surely say what happened is no outcome, after a second try."""
    wire.respond = lambda _: response
    with pytest.raises(ProviderUnavailableError):
        await wire.processor.charge(PAYMENT, AMOUNT, CARD)
    assert len(wire.requests) == 2
    assert len({request.headers["idempotency-key"] for request in wire.requests}) == 1


async def test_broken_connection_is_tried_once_more(wire: Wire) -> None:
    """With the same key, a second try gets the outcome that the first one lost."""

    def respond(_: httpx.Request) -> httpx.Response:
        if len(wire.requests) == 1:
            raise httpx.RemoteProtocolError("cut")
        return httpx.Response(200, json={"id": "ch_1", "status": "succeeded"})

    wire.respond = respond
    assert await wire.processor.charge(PAYMENT, AMOUNT, CARD) == Charged("ch_1")


async def test_time_out_is_unknown_at_once(wire: Wire) -> None:
    """A time-out is no failure and not tried again within the call, whose time is used up."""

    def respond(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    wire.respond = respond
    with pytest.raises(ProviderUnavailableError):
        await wire.processor.charge(PAYMENT, AMOUNT, CARD)
    assert len(wire.requests) == 1


async def test_nothing_secret_is_logged(wire: Wire, capsys: Any) -> None:
    """What is logged about a refusal names neither the API key nor the source."""
    wire.respond = lambda _: _error(500, "api_error")
    with pytest.raises(ProviderUnavailableError):
        await wire.processor.charge(PAYMENT, AMOUNT, CARD)
    written = "".join(capsys.readouterr())
    assert "provider refused" in written
    assert API_KEY not in written
    assert "tok_visa" not in written
