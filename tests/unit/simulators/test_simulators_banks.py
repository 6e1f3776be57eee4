"""The bank data provider's contract, over HTTPS."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest


async def _exchange(
    http: httpx.AsyncClient, outcome: str = "success", key: str | None = None, rest: str = "a"
) -> httpx.Response:
    return await http.post(
        "/v1/exchange",
        json={"public_token": f"public-sandbox-{outcome}-{rest}"},
        headers={"Idempotency-Key": key or str(uuid.uuid4())},
    )


async def _status(http: httpx.AsyncClient, reference: str) -> str:
    status: str = (await http.get(f"/v1/references/{reference}")).json()["verification_status"]
    return status


@pytest.mark.parametrize(
    ("outcome", "statuses"),
    [
        ("success", ["verified", "verified"]),
        ("failed", ["failed", "failed"]),
        ("pending", ["pending", "verified", "verified"]),
    ],
)
async def test_the_token_chooses_the_verification(
    simulators: Any, outcome: str, statuses: list[str]
) -> None:
    """Success and failed at once; pending the first time, verified from the second on."""
    reference = (await _exchange(simulators.banks, outcome)).json()["reference"]
    assert [await _status(simulators.banks, reference) for _ in statuses] == statuses


async def test_the_same_key_gives_the_same_reference(simulators: Any) -> None:
    """Exchanging again with the same key makes nothing new; with another key it does."""
    first = await _exchange(simulators.banks, key="k")
    assert (await _exchange(simulators.banks, key="k")).content == first.content
    assert (await _exchange(simulators.banks, key="l")).content != first.content
    assert (await simulators.banks.get("/_admin/references")).json()["count"] == 2
    misuse = await _exchange(simulators.banks, key="k", rest="b")
    assert misuse.json()["error"]["type"] == "idempotency_error"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "public-production-success-a",
        "public-sandbox-success-",
        "public-sandbox-success-" + "a" * 81,
        "public-sandbox-unknown-a",
        "alice:hunter2",
    ],
)
async def test_an_unknown_token_is_refused(simulators: Any, token: str) -> None:
    """Whatever is not a sandbox token is a 400."""
    answer = await simulators.banks.post(
        "/v1/exchange", json={"public_token": token}, headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "public_token_invalid"


async def test_removing_twice_is_removing_once(simulators: Any) -> None:
    """A removed reference answers 404 when asked about, 200 when removed again."""
    reference = (await _exchange(simulators.banks)).json()["reference"]
    for _ in range(2):
        answer = await simulators.banks.delete(f"/v1/references/{reference}")
        assert (answer.status_code, answer.json()) == (200, {"removed": True})
    assert (await simulators.banks.get(f"/v1/references/{reference}")).status_code == 404
    assert (await simulators.banks.delete("/v1/references/ref_0")).status_code == 404


async def test_faults_leave_one_reference(simulators: Any) -> None:
    """An error leaves nothing, a cut connection leaves one; the retry gets exactly one."""
    assert (await _exchange(simulators.banks, key="e", rest="error-1")).status_code == 500
    assert (await _exchange(simulators.banks, key="e", rest="error-1")).status_code == 200
    with pytest.raises(httpx.TransportError):
        await _exchange(simulators.banks, key="l", rest="lost-1")
    assert (await _exchange(simulators.banks, key="l", rest="lost-1")).status_code == 200
    slow = asyncio.create_task(_exchange(simulators.banks, key="s", rest="slow-1"))
    await asyncio.sleep(0.3)
    assert (await _exchange(simulators.banks, key="s", rest="slow-1")).status_code == 409
    assert (await slow).status_code == 200
    assert (await simulators.banks.get("/_admin/references")).json()["count"] == 3


async def test_the_public_token_is_not_kept(simulators: Any, options: Any) -> None:
    """No file of the state directory holds the token that was exchanged."""
    await _exchange(simulators.banks, rest="NotToBeFound")
    files = list(options.state_dir.iterdir())
    assert files
    assert not [file for file in files if b"NotToBeFound" in file.read_bytes()]
