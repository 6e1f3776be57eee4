"""The provider's contract, kept by the fake and by the client over HTTPS to the simulator."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from bank_link.domain import Reference, Verdict
from bank_link.errors import ProviderUnavailableError, PublicTokenRejectedError
from bank_link.providers.http import HttpBankData
from bank_link.providers.interface import BankData, UnknownReferenceError
from bank_link.public_token import PublicToken
from bank_link.testing import MemoryBankData
from simulators import testing
from simulators.server import running

_REFERENCE = Reference("ref_0123456789")


@pytest.fixture(params=["memory", "https"])
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BankData]:
    """Each implementation of BankData."""
    if request.param == "memory":
        yield MemoryBankData()
        return
    options, ca = testing.prepare(tmp_path)
    async with (
        running(options) as (_cards_port, banks_port),
        testing.client(testing.BANKS_HOST, banks_port, ca, key="") as client,
    ):
        yield HttpBankData(client, testing.API_KEY)


def _token(outcome: str) -> PublicToken:
    return PublicToken.parse(f"public-sandbox-{outcome}-{uuid.uuid4()}")


@pytest.mark.parametrize(
    ("outcome", "verdicts"),
    [
        ("success", [Verdict.VERIFIED] * 2),
        ("failed", [Verdict.FAILED] * 2),
        ("pending", [Verdict.PENDING, Verdict.VERIFIED]),
    ],
)
async def test_verdicts(provider: BankData, outcome: str, verdicts: list[Verdict]) -> None:
    """The verdict is the one that the sandbox token names."""
    reference = await provider.exchange(_token(outcome), "key")
    assert [await provider.verdict(reference) for _ in verdicts] == verdicts


async def test_exchanging_again_gives_the_same_reference(provider: BankData) -> None:
    """The same key gives the same reference, also at once; another key another one."""
    token = _token("success")
    first = await provider.exchange(token, "one")
    again = await asyncio.gather(*(provider.exchange(token, "one") for _ in range(3)))
    assert set(again) == {first}
    assert await provider.exchange(token, "two") != first


async def test_an_unknown_token_is_rejected(provider: BankData) -> None:
    """PublicTokenRejectedError for a token that the provider did not hand out."""
    with pytest.raises(PublicTokenRejectedError):
        await provider.exchange(PublicToken.parse("public-production-abcdefgh"), "key")


async def test_a_revoked_reference_is_unknown(provider: BankData) -> None:
    """After revoking there is nothing to ask about, and revoking again is no error."""
    reference = await provider.exchange(_token("success"), "key")
    await provider.revoke(reference)
    with pytest.raises(UnknownReferenceError):
        await provider.verdict(reference)
    await provider.revoke(reference)
    await provider.revoke(_REFERENCE)


async def test_lost_and_failed_answers_are_asked_for_again(tmp_path: Path) -> None:
    """A cut connection and a 500 are repeated with the same key: one reference each."""
    options, ca = testing.prepare(tmp_path)
    async with (
        running(options) as (_cards_port, banks_port),
        testing.client(testing.BANKS_HOST, banks_port, ca) as client,
    ):
        provider = HttpBankData(client, testing.API_KEY)
        await provider.exchange(PublicToken.parse("public-sandbox-success-lost-1"), "a")
        await provider.exchange(PublicToken.parse("public-sandbox-success-error-1"), "b")
        listed = (await client.get("/_admin/references")).json()
    assert [row["idempotency_key"] for row in listed["references"]] == ["a", "b"]


class _Wire:
    """A provider that answers as it is told, and what it was asked."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self._answer = answer

    def provider(self) -> HttpBankData:
        """A client of it that does not really wait."""
        client = httpx.AsyncClient(
            base_url="http://api.banks.test", transport=httpx.MockTransport(self._record)
        )
        return HttpBankData(client, "the-key", pause=self._pause)

    def _record(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def _answering(status: int, content: bytes | dict[str, object] = b"") -> _Wire:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return _Wire(lambda _request: httpx.Response(status, content=raw))


@pytest.mark.parametrize(
    ("status", "times"),
    [(408, 4), (409, 16), (425, 4), (429, 4), (500, 4), (502, 4), (503, 4), (504, 4)],
)
async def test_not_now_is_repeated_a_few_times(status: int, times: int) -> None:
    """The same request again with growing pauses, longest while the first still runs; then
    PROVIDER_UNAVAILABLE and a hint.
    """
    wire = _answering(status, {"error": {}})
    with pytest.raises(ProviderUnavailableError) as failure:
        await wire.provider().exchange(_token("success"), "key")
    assert failure.value.retry_after_seconds is not None
    assert len(wire.requests) == times
    assert (
        len({(r.method, r.url, r.content, r.headers["idempotency-key"]) for r in wire.requests})
        == 1
    )
    assert wire.requests[0].headers["authorization"] == "Bearer the-key"
    assert wire.requests[0].headers["host"] == "api.banks.test"
    assert all(0.05 <= pause <= 0.75 for pause in wire.pauses)


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.DecodingError],
)
async def test_no_answer_is_repeated_a_few_times(error: type[httpx.RequestError]) -> None:
    """A connection that breaks is tried again, and then PROVIDER_UNAVAILABLE."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise error("broken", request=request)

    wire = _Wire(broken)
    with pytest.raises(ProviderUnavailableError):
        await wire.provider().verdict(_REFERENCE)
    assert len(wire.requests) == 4


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[" * 100_000),
        (200, b"[]"),
        (200, {}),
        (200, {"reference": 1, "verification_status": 1, "removed": 1}),
        (200, {"reference": "../x", "verification_status": "maybe", "removed": "true"}),
        (302, {"reference": "ref_0123456789"}),
        (400, {"error": {"code": "body_invalid"}}),
        (401, {"error": {"code": "api_key_invalid"}}),
        (404, b"no route"),
        (404, {"error": {"code": "http_404"}}),
        (404, {"error": "reference_missing"}),
    ],
)
async def test_an_answer_that_is_not_the_providers_counts_for_nothing(
    status: int, content: bytes | dict[str, object]
) -> None:
    """Whatever is not the documented answer is PROVIDER_UNAVAILABLE, at once: above all no
    proxy's 404 passes for a reference that is gone.
    """
    wire = _answering(status, content)
    for call in (
        lambda provider: provider.exchange(_token("success"), "key"),
        lambda provider: provider.verdict(_REFERENCE),
        lambda provider: provider.revoke(_REFERENCE),
    ):
        with pytest.raises(ProviderUnavailableError):
            await call(wire.provider())
    assert len(wire.requests) == 3


async def test_only_the_provider_rejects_a_token() -> None:
    """A 400 with the provider's own code is a rejection."""
    wire = _answering(400, {"error": {"code": "public_token_invalid"}})
    with pytest.raises(PublicTokenRejectedError):
        await wire.provider().exchange(_token("success"), "key")


def test_the_key_stays_out_of_the_repr() -> None:
    """Nothing that logs the client logs the API key."""
    provider = _answering(200).provider()
    assert "the-key" not in repr(provider)
