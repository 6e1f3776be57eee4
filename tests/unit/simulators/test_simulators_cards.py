"""The card processor's contract, over HTTPS."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest


def _charge(**changes: Any) -> dict[str, Any]:
    return {
        "amount": 1250,
        "currency": "EUR",
        "source": "tok_visa",
        "reference": str(uuid.uuid4()),
        **changes,
    }


async def _post(
    http: httpx.AsyncClient, body: dict[str, Any], key: str | None = None, path: str = "/v1/charges"
) -> httpx.Response:
    return await http.post(path, json=body, headers={"Idempotency-Key": key or str(uuid.uuid4())})


async def _charges(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await http.get("/_admin/charges")
    listed: list[dict[str, Any]] = answer.json()["charges"]
    assert answer.json()["count"] == len(listed)
    return listed


async def test_a_good_token_is_charged(simulators: Any) -> None:
    """A charge answers with its id and stands in the list exactly once."""
    answer = await _post(simulators.cards, _charge(reference="order-1"), "key-1")
    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"
    [listed] = await _charges(simulators.cards)
    assert listed["id"] == answer.json()["id"]
    assert (listed["amount"], listed["currency"]) == (1250, "EUR")
    assert (listed["reference"], listed["idempotency_key"]) == ("order-1", "key-1")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("tok_declined", "card_declined"),
        ("tok_insufficient", "insufficient_funds"),
        ("tok_declined_7", "card_declined"),
    ],
)
async def test_a_decline_is_an_answer(simulators: Any, source: str, code: str) -> None:
    """A declined charge is a 200 that names why."""
    answer = await _post(simulators.cards, _charge(source=source))
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["decline_code"]) == ("declined", code)


@pytest.mark.parametrize("source", ["tok_visa", "tok_declined", "tok_broken", "bank:abc-123"])
async def test_the_same_key_gives_the_first_answer(simulators: Any, source: str) -> None:
    """Status and body are repeated byte for byte, failures included, and nothing is done twice."""
    body = _charge(source=source)
    first = await _post(simulators.cards, body, "again")
    second = await _post(simulators.cards, body, "again")
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(await _charges(simulators.cards)) == (0 if source == "tok_broken" else 1)


@pytest.mark.parametrize(
    "change", [{"amount": 1}, {"currency": "USD"}, {"source": "tok_mastercard"}, {"reference": "x"}]
)
async def test_a_key_belongs_to_its_parameters(simulators: Any, change: dict[str, Any]) -> None:
    """The same key with any other parameter is an idempotency_error and charges nothing."""
    body = _charge()
    await _post(simulators.cards, body, "mine")
    answer = await _post(simulators.cards, {**body, **change}, "mine")
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "idempotency_error"
    assert len(await _charges(simulators.cards)) == 1


async def test_a_key_belongs_to_its_operation(simulators: Any) -> None:
    """A charge's key cannot be a refund's."""
    charge = (await _post(simulators.cards, _charge(), "one")).json()["id"]
    answer = await _post(simulators.cards, {"charge": charge, "amount": 1}, "one", "/v1/refunds")
    assert answer.json()["error"]["type"] == "idempotency_error"


async def test_a_key_in_use_is_a_conflict(simulators: Any) -> None:
    """While the first call runs, the second is told so and nothing is charged twice."""
    body = _charge(source="tok_slow")
    first = asyncio.create_task(_post(simulators.cards, body, "busy"))
    await asyncio.sleep(0.3)
    second = await _post(simulators.cards, body, "busy")
    assert second.status_code == 409
    assert (await first).json()["status"] == "succeeded"
    assert len(await _charges(simulators.cards)) == 1


async def test_a_500_before_execution_is_not_kept(simulators: Any) -> None:
    """tok_error fails once with nothing charged; the retry with the same key is charged once."""
    body = _charge(source="tok_error")
    assert (await _post(simulators.cards, body, "retry")).status_code == 500
    assert await _charges(simulators.cards) == []
    assert (await _post(simulators.cards, body, "retry")).json()["status"] == "succeeded"
    assert (await _post(simulators.cards, body, "retry")).json()["status"] == "succeeded"
    assert len(await _charges(simulators.cards)) == 1


async def test_a_lost_answer_was_charged(simulators: Any) -> None:
    """tok_lost cuts the connection after charging; the retry learns of that one charge."""
    body = _charge(source="tok_lost")
    with pytest.raises(httpx.TransportError):
        await _post(simulators.cards, body, "lost")
    [listed] = await _charges(simulators.cards)
    again = await _post(simulators.cards, body, "lost")
    assert again.json()["id"] == listed["id"]
    assert len(await _charges(simulators.cards)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 1.5},
        {"amount": "1"},
        {"amount": True},
        {"amount": 10**12 + 1},
        {"currency": "eur"},
        {"currency": "EURO"},
        {"source": "tok_unheard_of"},
        {"source": "visa"},
        {"source": "4111111111111111"},
        {"source": "bank:"},
        {"source": "tok_visa\n"},
        {"reference": ""},
        {"reference": "5500-0000 0000-0004"},
        {"reference": "x" * 201},
        {"extra": 1},
    ],
)
async def test_wrong_parameters_begin_nothing(simulators: Any, change: dict[str, Any]) -> None:
    """A refused request is a 400, charges nothing, and its key stays free."""
    answer = await _post(simulators.cards, _charge(**change), "free")
    assert answer.status_code == 400
    assert await _charges(simulators.cards) == []
    assert (await _post(simulators.cards, _charge(), "free")).status_code == 200


async def test_a_card_number_is_refused_and_not_repeated(simulators: Any) -> None:
    """The answer says what was wrong without the number in it."""
    answer = await _post(simulators.cards, _charge(reference="4111 1111 1111 1111"))
    assert answer.json()["error"]["code"] == "card_number_refused"
    assert "1111" not in answer.text


async def test_refunds_add_up_to_no_more_than_the_charge(simulators: Any) -> None:
    """Part refunds work until the charge is used up; then the refusal is kept."""
    charge = (await _post(simulators.cards, _charge(amount=100))).json()["id"]
    body = {"charge": charge, "amount": 60}
    assert (await _post(simulators.cards, body, "r1", "/v1/refunds")).status_code == 200
    too_much = await _post(simulators.cards, body, "r2", "/v1/refunds")
    assert too_much.json()["error"]["code"] == "refund_too_large"
    kept = await _post(simulators.cards, body, "r2", "/v1/refunds")
    assert kept.headers["Idempotent-Replayed"] == "true"
    rest = await _post(simulators.cards, {"charge": charge, "amount": 40}, "r3", "/v1/refunds")
    assert rest.json()["status"] == "succeeded"
    assert (await simulators.cards.get("/_admin/refunds")).json()["count"] == 2


async def test_only_what_was_charged_is_refunded(simulators: Any) -> None:
    """No refund of a declined charge (400), none of an unknown one (404)."""
    declined = (await _post(simulators.cards, _charge(source="tok_declined"))).json()["id"]
    refused = await _post(simulators.cards, {"charge": declined, "amount": 1}, path="/v1/refunds")
    unknown = await _post(simulators.cards, {"charge": "ch_0", "amount": 1}, path="/v1/refunds")
    assert (refused.status_code, unknown.status_code) == (400, 404)


async def test_concurrent_refunds_do_not_exceed_the_charge(simulators: Any) -> None:
    """Of ten refunds of a quarter each, exactly four succeed."""
    charge = (await _post(simulators.cards, _charge(amount=100))).json()["id"]
    body = {"charge": charge, "amount": 25}
    answers = await asyncio.gather(
        *(_post(simulators.cards, body, path="/v1/refunds") for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [400] * 6
