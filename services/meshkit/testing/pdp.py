"""A policy decision point's data API that a test is in charge of: a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Self

from aiohttp import web

from meshkit.pdp import PACKAGE_PATH, RULE_NAME

Rule = Callable[[Mapping[str, object]], bool]


class FakePdp:
    """Answers the one question as OPA does: by `rule`, and only to who has the token.

    `questions` holds the inputs; `connections` counts the TCP connections.
    `body` (once set) is sent as it is in place of the rule's answer, `status` in
    place of 200, and `delay_seconds` holds answers back. An async context manager.
    """

    def __init__(self, rule: Rule, token: str = "test-pdp-token") -> None:  # noqa: S107  # a test's
        """Take the rule and the bearer token that callers must have."""
        self._rule = rule
        self._token = token
        self.questions: list[Mapping[str, object]] = []
        self.connections = 0
        self.status = 200
        self.delay_seconds = 0.0
        self.body: bytes | None = None
        self.url = ""
        self._peers: set[Any] = set()
        application = web.Application()
        application.router.add_post(f"/v1/data/{PACKAGE_PATH}/{RULE_NAME}", self._decide)
        self._runner = web.AppRunner(application, handler_cancellation=True)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._runner.cleanup()

    async def _decide(self, request: web.Request) -> web.Response:
        self._peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        self.connections = len(self._peers)
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return web.json_response({"code": "unauthorized"}, status=401)
        question = (await request.json())["input"]
        self.questions.append(question)
        await asyncio.sleep(self.delay_seconds)
        if self.body is not None:
            return web.Response(body=self.body, status=self.status, content_type="application/json")
        allowed = self._rule(question)
        result = {"allowed": allowed, "reason": "ALLOWED" if allowed else "OBJECT_DENIED"}
        return web.json_response({"result": result}, status=self.status)
