"""What both servers do to every request: errors as JSON, API keys, limits, parsing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from simulators.card_numbers import has_card_number
from simulators.errors import ApiError, InvalidRequestError, UnauthorisedError
from simulators.idempotency import Answer

MAX_BODY_BYTES = 16 * 1024
HEALTH_PATH = "/_admin/health"

_BODY_TIMEOUT_SECONDS = 5.0
_HANDLER_TIMEOUT_SECONDS = 10.0
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("simulators")


def application(key_digest: bytes) -> web.Application:
    """An application that asks for the API key whose SHA-256 is `key_digest`."""
    app = web.Application(
        client_max_size=MAX_BODY_BYTES, middlewares=[_errors_as_json, _api_key(key_digest)]
    )
    app.router.add_get(HEALTH_PATH, _health)
    return app


async def json_parameters(request: web.Request, fields: Mapping[str, type]) -> dict[str, Any]:
    """The body: a JSON object with exactly `fields`, each of its type, and no card number.

    Raises:
        InvalidRequestError: it is something else, too large or too slow.
    """
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_SECONDS):
            raw = await request.read()
    except TimeoutError:
        raise InvalidRequestError("body_too_slow", "the body did not arrive in time") from None
    try:
        parsed = json.loads(raw, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidRequestError("body_invalid", "the body is not a JSON object") from None
    if not isinstance(parsed, dict) or parsed.keys() != fields.keys():
        wanted = ", ".join(sorted(fields))
        raise InvalidRequestError("parameters_invalid", f"the parameters are exactly: {wanted}")
    for name, kind in fields.items():
        if type(parsed[name]) is not kind:
            raise InvalidRequestError("parameter_invalid", f"{name} is not of type {kind.__name__}")
        if kind is str and has_card_number(parsed[name]):
            raise InvalidRequestError(
                "card_number_refused", f"{name} holds a card number: send a token"
            )
    return parsed


def idempotency_key(request: web.Request) -> str:
    """The one Idempotency-Key header: 1 to 255 visible ASCII characters.

    Raises:
        InvalidRequestError: there is none, more than one, or it is not of that form.
    """
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) != 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
        raise InvalidRequestError(
            "idempotency_key_invalid", "send one Idempotency-Key of 1 to 255 visible characters"
        )
    if has_card_number(keys[0]):
        raise InvalidRequestError("card_number_refused", "the Idempotency-Key holds a card number")
    return keys[0]


def respond(answer: Answer) -> web.Response:
    """The answer as HTTP, marked when it is a kept one."""
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    return web.json_response(answer.body, status=answer.status, headers=headers)


def cut_connection(request: web.Request) -> None:
    """Ends the connection before an answer, as a broken network does."""
    if request.transport is not None:
        request.transport.abort()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise ValueError("a name stands twice")
    return parsed


def _refuse_constant(_name: str) -> float:
    raise ValueError("not a JSON number")


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(_HANDLER_TIMEOUT_SECONDS):
            return await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status)
    except web.HTTPException as error:
        body = ApiError(f"http_{error.status}", error.reason).body()
        return web.json_response(body, status=error.status)
    except TimeoutError:
        return web.json_response(ApiError("timeout", "took too long").body(), status=504)
    except Exception:  # noqa: BLE001 - the last resort: an answer, never a repr
        _log.exception("unexpected error")
        return web.json_response(ApiError("internal", "something went wrong").body(), status=500)


def _api_key(key_digest: bytes) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == HEALTH_PATH:
            return await handler(request)
        given = next(_bearer_tokens(request), "")
        # Digests of equal length, compared in constant time: nothing leaks of the key.
        if not hmac.compare_digest(hashlib.sha256(given.encode()).digest(), key_digest):
            raise UnauthorisedError("api_key_invalid", "the API key is missing or not known")
        return await handler(request)

    return check


def _bearer_tokens(request: web.Request) -> Iterator[str]:
    headers = request.headers.getall("Authorization", [])
    if len(headers) == 1 and headers[0].startswith("Bearer "):
        yield headers[0].removeprefix("Bearer ")


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "serving"})
