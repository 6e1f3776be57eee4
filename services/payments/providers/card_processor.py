"""The card processor's HTTP API, through the egress listener that names it.

    POST /v1/charges  {amount, currency, source, reference}
    POST /v1/refunds  {charge, amount}
    200 {id, status: "succeeded" | "declined", decline_code?}
    4xx {error: {type, code, message}}

`Authorization: Bearer <key>` and `Idempotency-Key` go with each. A bank link
is charged as `bank:<link id>`: the link's id is all that payments knows of a
bank account. What counts as an outcome:

    200                                    what it says
    400, 402, 404 with a JSON error of     nothing was done and never will be
      type invalid_request_error or
      card_error
    everything else, time-outs included    unknown

An idempotency_error is unknown too: it says that the key did something else.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from meshkit.logging import get_logger
from meshkit.money import Money
from payments.domain import Source, SourceKind
from payments.errors import ProviderUnavailableError
from payments.providers import Charged, Declined, Rejected, Returned

HOST = "api.cards.test"
TIMEOUT_SECONDS = 5.0

_ATTEMPTS = 2
_PAUSE_SECONDS = 0.2
_FINAL_STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.NOT_FOUND)
_FINAL_TYPES = ("invalid_request_error", "card_error")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_log = get_logger(__name__)


class CardProcessor:
    """`providers.Provider` over HTTP; `client` is meshkit.http.egress_client's."""

    def __init__(self, client: httpx.AsyncClient, api_key: str) -> None:
        self._client = client
        self._api_key = api_key

    async def charge(
        self, payment_id: uuid.UUID, amount: Money, source: Source
    ) -> Charged | Declined:
        """See providers.Provider."""
        kind, text = await self._post(
            "/v1/charges",
            f"payment-{payment_id}",
            {
                "amount": amount.minor_units,
                "currency": amount.currency.code,
                "source": _source(source),
                "reference": str(payment_id),
            },
        )
        return Charged(text) if kind == "succeeded" else Declined(text)

    async def refund(
        self, refund_id: uuid.UUID, charge_id: str, amount: Money
    ) -> Returned | Rejected:
        """See providers.Provider."""
        kind, text = await self._post(
            "/v1/refunds",
            f"refund-{refund_id}",
            {"charge": charge_id, "amount": amount.minor_units},
        )
        return Returned(text) if kind == "succeeded" else Rejected(text)

    async def _post(
        self, path: str, idempotency_key: str, body: Mapping[str, object]
    ) -> tuple[str, str]:
        """("succeeded", id) or ("declined", code). Raises ProviderUnavailableError."""
        for attempt in range(1, _ATTEMPTS + 1):
            response = await self._send(path, idempotency_key, body)
            outcome = None if response is None else _outcome(response)
            if outcome is not None:
                return outcome
            # The key makes it safe; one more try gets over a connection that was cut.
            if attempt < _ATTEMPTS:
                await asyncio.sleep(_PAUSE_SECONDS)
        raise ProviderUnavailableError

    async def _send(
        self, path: str, idempotency_key: str, body: Mapping[str, object]
    ) -> httpx.Response | None:
        """The response, None if the connection broke. Raises ProviderUnavailableError."""
        try:
            response = await self._client.post(
                path,
                json=body,
                headers={
                    "Authorization": f"Bearer {self._api_key}",
                    "Idempotency-Key": idempotency_key,
                },
            )
        except httpx.TimeoutException:
            # The time for this call is used up; whoever asks next has more.
            _log.warning("provider timed out", path=path, operation=idempotency_key)
            raise ProviderUnavailableError from None
        except httpx.TransportError as error:
            _log.warning(
                "provider unreachable", path=path, operation=idempotency_key,
                error=type(error).__name__,
            )  # fmt: skip
            return None
        if response.status_code != HTTPStatus.OK:
            _log.warning(
                "provider refused", path=path, operation=idempotency_key,
                status=response.status_code,
            )  # fmt: skip
        return response


def _source(source: Source) -> str:
    return f"bank:{source.reference}" if source.kind is SourceKind.BANK_LINK else source.reference


def _outcome(response: httpx.Response) -> tuple[str, str] | None:
    """What a response says about the money, None if it says nothing to rely on."""
    try:
        body: Any = response.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    if response.status_code == HTTPStatus.OK:
        return _outcome_of_success(body)
    error = body.get("error")
    if response.status_code not in _FINAL_STATUSES or not isinstance(error, dict):
        return None
    if error.get("type") not in _FINAL_TYPES:
        return None
    return "declined", _code(error.get("code"))


def _outcome_of_success(body: Mapping[str, Any]) -> tuple[str, str] | None:
    identifier = body.get("id")
    if body.get("status") == "declined":
        return "declined", _code(body.get("decline_code"))
    if body.get("status") != "succeeded" or not isinstance(identifier, str):
        return None
    return ("succeeded", identifier) if _ID.fullmatch(identifier) else None


def _code(value: object) -> str:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else "declined"
