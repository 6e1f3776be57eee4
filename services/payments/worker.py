"""Finishes what calls have begun and not finished: killed, timed out, or turned away.

Any number of workers may run: each claims operations that nobody holds, skips
what another is claiming, and leaves an operation that fails again alone for
longer each time. It never gives one up, because money may have moved.
"""

from __future__ import annotations

import asyncio
import dataclasses

from meshkit.errors import MeshError
from meshkit.logging import get_logger
from payments.handlers import FinishWork
from payments.ports import Store, Work

_log = get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class Worker:
    """A background task; `limit_seconds` must be less than a lease lasts."""

    store: Store
    finish: FinishWork
    limit_seconds: float
    poll_seconds: float
    batch: int = 8

    async def run(self) -> None:
        """Work until cancelled. Raises MeshError when the database is away."""
        while True:
            done = await self.run_once()
            if done < self.batch:
                await asyncio.sleep(self.poll_seconds)

    async def run_once(self) -> int:
        """Claim and finish at most `batch` operations at the same time; how many it claimed."""
        claimed = await self.store.claim(self.batch)
        await asyncio.gather(*(self._finish(work) for work in claimed))
        return len(claimed)

    async def _finish(self, work: Work) -> None:
        facts = {"operation_id": str(work.lease.operation_id), "rpc": work.rpc.value}
        try:
            async with asyncio.timeout(self.limit_seconds):
                await self.finish(work)
        except MeshError as error:
            _log.warning("not finished yet", reason=error.reason, **facts)
        except TimeoutError:
            _log.warning("not finished yet", reason="TIMED_OUT", **facts)
        except Exception as error:  # noqa: BLE001  # one that is broken must not stop the others
            _log.error("cannot be finished", exc_info=error, **facts)
        else:
            _log.info("finished", **facts)
