"""Follows edits of `policies/` and publishes after each.

await follow(settings)     # until cancelled
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from paymesh.policy import checkout, watching
from paymesh.policy.compiler import Compiler
from paymesh.policy.publisher import Publisher, Settings, Status
from paymesh.policy.watching import Settled

_SUFFIXES = (".rego", ".yaml", ".binpb")


async def follow(
    settings: Settings,
    stop: asyncio.Event | None = None,
    told: Callable[[Status], None] = lambda _: None,
) -> None:
    """Publishes what there is and then after every edit, until `stop` is set or the task is
    cancelled. An edit that comes while another is being published is published after it.

    Args:
        settings: what, from where to where.
        stop: ends it.
        told: hears how each attempt went.
    """
    following = asyncio.create_task(_follow(settings, told))
    stopping = asyncio.create_task((stop or asyncio.Event()).wait())
    try:
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
    finally:
        for task in (following, stopping):
            task.cancel()
        await asyncio.gather(following, stopping, return_exceptions=True)


async def _follow(settings: Settings, told: Callable[[Status], None]) -> None:
    edits = watching.follow(settings.policies, wanted=_is_ours)
    async with Compiler(settings.pdp) as compiler, contextlib.aclosing(edits):
        publisher = Publisher(settings, compiler.compile)
        async for settled in edits:
            status = await _publish(publisher, settings.root, settled)
            if status is not None:
                told(status)
                # Nobody waits for it now; the next edit will.
                await compiler.warm()
                await asyncio.to_thread(publisher.prune)


async def _publish(publisher: Publisher, root: Path, settled: Settled) -> Status | None:
    """Publishes unless more is being saved; what git is about to change is waited for."""
    is_git = True

    async def over() -> bool:
        nonlocal is_git
        is_settled = await settled()
        is_git = is_settled and checkout.git_is_at_work(root)
        return is_settled and not is_git

    status = None
    while is_git:
        await checkout.git_is_done(root)
        is_git = False
        status = await publisher.publish_if(over)
    return status


def _is_ours(name: str) -> bool:
    return name.endswith(_SUFFIXES)
