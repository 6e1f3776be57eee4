"""What goes wrong at a provider now and then, asked for by how a token goes on.

slow…    two seconds pass before anything happens
error…   the first call of a key fails and nothing has happened
lost…    it happens, and the connection is cut before the answer
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from simulators.errors import InjectedFaultError
from simulators.idempotency import IdempotentCalls, Work
from simulators.wire import cut_connection, respond

_SLOW_SECONDS = 2.0


async def answer(
    request: web.Request,
    calls: IdempotentCalls,
    key: str,
    fingerprint: str,
    work: Work,
    *,
    fault: str,
    undone: str,
) -> web.Response:
    """The key's answer, with the fault that was asked for.

    Args:
        request: whose connection a `lost` answer cuts.
        calls: of the provider.
        key: the idempotency key.
        fingerprint: of the parameters.
        work: what is executed once.
        fault: the rest of the token: what it starts with decides.
        undone: what an `error` says has not happened.

    Raises:
        ApiError: as `IdempotentCalls.run`.
        InjectedFaultError: the fault is `error` and the key is seen first.
    """

    async def before() -> None:
        if fault.startswith("slow"):
            await asyncio.sleep(_SLOW_SECONDS)
        if fault.startswith("error") and await calls.first_fault(key):
            raise InjectedFaultError("try_again", undone)

    given = await calls.run(key, fingerprint, work, before)
    if fault.startswith("lost") and not given.replayed:
        cut_connection(request)
    return respond(given)
