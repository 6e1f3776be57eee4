"""The bank data provider over HTTP, by way of the egress listener.

The wire: POST /v1/exchange, GET and DELETE /v1/references/{reference}, errors as
{"error": {"type", "code", "message"}}. Each of the three may be repeated, and is,
for as long as the limits below allow, when there was no answer or one that says
"not now". An answer counts only if it is the provider's own: a 404 of some
proxy on the way must not pass for a reference that is gone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from bank_link.domain import Reference, Verdict
from bank_link.errors import ProviderUnavailableError, PublicTokenRejectedError
from bank_link.providers.interface import UnknownReferenceError
from bank_link.public_token import PublicToken
from meshkit.logging import get_logger

HOST = "api.banks.test"
ATTEMPT_TIMEOUT_SECONDS = 4.0

_TOTAL_TIMEOUT_SECONDS = 9.0
_ATTEMPTS = 4
# Another call of ours holds the same key: it is worth waiting for what becomes of it.
_ATTEMPTS_WHILE_RUNNING = 16
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 0.5
_RETRY_AFTER_SECONDS = 1.0

# "Still running", "too many", and whatever broke on the other side or on the way.
_NOT_NOW = frozenset({408, 409, 425, 429, 500, 502, 503, 504})

_log = get_logger(__name__)


class HttpBankData:
    """`BankData` over a client whose base URL is the provider; the key stays out of the repr."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        api_key: str,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._authorization = f"Bearer {api_key}"
        self._pause = pause

    async def exchange(self, public_token: PublicToken, idempotency_key: str) -> Reference:
        """See `BankData.exchange`."""
        status, body = await self._call(
            "POST",
            "/v1/exchange",
            json={"public_token": public_token.text},
            headers={"Idempotency-Key": idempotency_key},
        )
        if status == httpx.codes.BAD_REQUEST and _code(body) == "public_token_invalid":
            raise PublicTokenRejectedError
        text = body.get("reference")
        if status != httpx.codes.OK or not isinstance(text, str):
            raise _unexpected("exchange", status)
        try:
            return Reference(text)
        except ValueError:
            raise _unexpected("exchange", status) from None

    async def verdict(self, reference: Reference) -> Verdict:
        """See `BankData.verdict`."""
        status, body = await self._call("GET", f"/v1/references/{reference.text}")
        if _is_missing(status, body):
            raise UnknownReferenceError
        if status != httpx.codes.OK:
            raise _unexpected("verdict", status)
        try:
            return Verdict(body.get("verification_status"))
        except ValueError:
            raise _unexpected("verdict", status) from None

    async def revoke(self, reference: Reference) -> None:
        """See `BankData.revoke`."""
        status, body = await self._call("DELETE", f"/v1/references/{reference.text}")
        removed = status == httpx.codes.OK and body.get("removed") is True
        if not removed and not _is_missing(status, body):
            raise _unexpected("revoke", status)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object of the first answer that is not "not now".

        Raises:
            ProviderUnavailableError: there was none within the limits, or it is no JSON object.
        """
        request_headers = {
            "Authorization": self._authorization,
            # The limit on what is read counts bytes on the wire; these are then all there are.
            "Accept-Encoding": "identity",
            **(headers or {}),
        }
        try:
            async with asyncio.timeout(_TOTAL_TIMEOUT_SECONDS):
                for attempt in range(1, _ATTEMPTS_WHILE_RUNNING + 1):
                    try:
                        answer = await self._client.request(
                            method, path, json=json, headers=request_headers
                        )
                        status = answer.status_code
                        if status not in _NOT_NOW:
                            return status, _object(answer)
                        _log.warning("bank data provider put us off", status=status)
                    except httpx.RequestError as error:
                        _log.warning("bank data provider is silent", error=type(error).__name__)
                        status = 0
                    if status != httpx.codes.CONFLICT and attempt >= _ATTEMPTS:
                        break
                    await self._pause(_pause_seconds(attempt))
        except TimeoutError:
            _log.warning("bank data provider took too long")
        raise ProviderUnavailableError(retry_after_seconds=_RETRY_AFTER_SECONDS)


def _pause_seconds(attempt: int) -> float:
    """Doubling, and spread so that callers who failed together do not return together."""
    pause_seconds = min(_FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
    return pause_seconds * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _unexpected("any", answer.status_code)
    return body


def _code(body: Mapping[str, Any]) -> object:
    error = body.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _is_missing(status: int, body: Mapping[str, Any]) -> bool:
    return status == httpx.codes.NOT_FOUND and _code(body) == "reference_missing"


def _unexpected(call: str, status: int) -> ProviderUnavailableError:
    """Such as a key that the provider does not take; the answer itself is not logged."""
    _log.error("bank data provider answered unexpectedly", call=call, status=status)
    return ProviderUnavailableError()
