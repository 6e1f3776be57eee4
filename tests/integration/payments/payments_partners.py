"""What a payments process talks to: real servers on the sockets of its sidecar.

The card processor is the simulator's, behind the egress socket; ledger and
bank-link answer gRPC on the outbound socket from memory; the policy decision
point answers HTTP. At a chosen point of a call a hook runs, such as one that
kills the process.
"""

# The names and arguments of the methods are gRPC's.
# ruff: noqa: N802, ARG002

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from google.rpc import error_details_pb2, status_pb2

from paymesh.bank_link.v1 import bank_link_pb2, bank_link_pb2_grpc
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from simulators import cards, idempotency
from simulators.database import open_database

API_KEY = "sk_test_integration"
MERCHANT = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
LINK = "6fa459ea-ee8a-4ca4-894e-db77e160355e"
PDP_TOKEN = "pdp-token-integration"

Hook = Callable[[], Awaitable[None]]


class Hooks:
    """What happens once at each named point: before or after a partner did its work."""

    def __init__(self) -> None:
        self._hooks: dict[str, Hook] = {}

    def at(self, point: str, hook: Hook) -> None:
        """Run `hook` when the point is next reached."""
        self._hooks[point] = hook

    async def reached(self, point: str) -> None:
        """Run the point's hook, if there is one."""
        hook = self._hooks.pop(point, None)
        if hook is not None:
            await hook()

    @property
    def are_done(self) -> bool:
        """Whether every hook has run."""
        return not self._hooks


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    """The ledger's API over a dictionary; the same request id posts once."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.transfers: dict[str, ledger_pb2.PostTransferRequest] = {}
        self.posts: Counter[str] = Counter()
        self.authorizations: list[str] = []

    def balance(self, account_id: str) -> int:
        """Minor units."""
        return sum(
            leg.amount.minor_units
            for transfer in self.transfers.values()
            for leg in transfer.legs
            if leg.account_id == account_id
        )

    async def GetBalance(self, request: Any, context: Any) -> Any:
        """The merchant's account and no other."""
        self.authorizations.append(dict(context.invocation_metadata()).get("authorization", ""))
        await self._hooks.reached("account")
        if request.account_id != MERCHANT:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
        account = ledger_pb2.Account(
            account_id=MERCHANT,
            legal_entity="acme",
            kind=ledger_pb2.ACCOUNT_KIND_MERCHANT,
            currency_code="EUR",
        )
        return ledger_pb2.GetBalanceResponse(balance=ledger_pb2.Balance(account=account))

    async def OpenAccount(self, request: Any, context: Any) -> Any:
        """The clearing account: its id derives from the request's."""
        assert request.kind == ledger_pb2.ACCOUNT_KIND_CLEARING
        await self._hooks.reached("clearing")
        account_id = str(uuid.uuid5(uuid.NAMESPACE_OID, request.request_id))
        return ledger_pb2.OpenAccountResponse(account=ledger_pb2.Account(account_id=account_id))

    async def PostTransfer(self, request: Any, context: Any) -> Any:
        """Post once."""
        kind = request.reference.split()[0]
        await self._hooks.reached(f"{kind} post-before")
        first = self.transfers.setdefault(request.request_id, request)
        assert first == request
        self.posts[request.request_id] += 1
        await self._hooks.reached(f"{kind} post-after")
        transfer_id = str(uuid.uuid5(uuid.NAMESPACE_OID, request.request_id))
        return ledger_pb2.PostTransferResponse(
            transfer=ledger_pb2.Transfer(transfer_id=transfer_id, legs=request.legs)
        )


class Links(bank_link_pb2_grpc.BankLinkServiceServicer):
    """Alice's one verified link."""

    async def GetLink(self, request: Any, context: Any) -> Any:
        """The link, or LINK_NOT_FOUND."""
        if request.link_id != LINK:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, "LINK_NOT_FOUND")
        link = bank_link_pb2.Link(
            link_id=LINK, state=bank_link_pb2.LINK_STATE_SUCCESS, owner="alice"
        )
        return bank_link_pb2.GetLinkResponse(link=link)


class Partners:
    """All of them, and what they saw."""

    def __init__(self, hooks: Hooks, ledger: Ledger, processor: cards.CardProcessor) -> None:
        self.hooks = hooks
        self.ledger = ledger
        self._processor = processor
        self.pdp_url = ""
        self.denied: set[str] = set()
        self.questions: list[dict[str, Any]] = []

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """The simulator's charges or refunds: what really happened."""

        def read(connection: Any) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608

        return await self._processor._database.transaction(read)

    async def decide(self, request: web.Request) -> web.Response:
        """The policy decision point: yes, unless the action is in `denied`."""
        if request.headers.get("Authorization") != f"Bearer {PDP_TOKEN}":
            return web.json_response({"code": "unauthorized"}, status=401)
        question = (await request.json())["input"]
        self.questions.append(question)
        allowed = question["action"] not in self.denied
        return web.json_response({"result": {"allowed": allowed, "reason": "TEST"}})


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Partners]:
    """Everything on `outbound.sock`, `egress.sock` and a port, as long as the block lasts."""
    async with AsyncExitStack() as stack:
        hooks = Hooks()
        ledger = Ledger(hooks)
        database = open_database(directory / "cards.sqlite", idempotency.SCHEMA + cards.SCHEMA)
        stack.push_async_callback(database.close)
        partners = Partners(hooks, ledger, cards.CardProcessor(database))
        app = partners._processor.application(hashlib.sha256(API_KEY.encode()).digest())
        app.middlewares.append(_hooked(hooks))
        await _serve(stack, app, unix=directory / "egress.sock")
        pdp = web.Application()
        pdp.router.add_post("/v1/data/paymesh/objects/decision", partners.decide)
        partners.pdp_url = await _serve(stack, pdp)
        server = grpc.aio.server()
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, server)
        bank_link_pb2_grpc.add_BankLinkServiceServicer_to_server(Links(), server)
        server.add_insecure_port(f"unix:{directory / 'outbound.sock'}")
        await server.start()
        stack.push_async_callback(server.stop, None)
        yield partners


async def _serve(stack: AsyncExitStack, app: web.Application, unix: Path | None = None) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    if unix is not None:
        await web.UnixSite(runner, str(unix)).start()
        return ""
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


def _hooked(hooks: Hooks) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        point = {"/v1/charges": "charge", "/v1/refunds": "refund"}[request.path]
        await hooks.reached(f"{point}-before")
        response: web.StreamResponse = await handler(request)
        await hooks.reached(f"{point}-after")
        return response

    return middleware


async def _refuse(context: Any, code: grpc.StatusCode, reason: str) -> None:
    status = status_pb2.Status(code=code.value[0], message="no")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason))
    await context.abort(code, "no", (("grpc-status-details-bin", status.SerializeToString()),))
