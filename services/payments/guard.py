"""Executes what an idempotency key stands for, and sees to the key's answer.

The one place that decides what is kept as an answer, what is left for another
attempt, and what happens when somebody else took over.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from meshkit.errors import MeshError
from meshkit.logging import get_logger
from payments import convert
from payments.errors import IdempotencyKeyInUseError, IdempotencyKeyReusedError, Refusal
from payments.idempotency import Answer, Finished, InUse, Lease, Reused, Scope
from payments.ports import LeaseLostError, Store

_RETRY_SECONDS = 1.0
_log = get_logger(__name__)

Execute = Callable[[Lease], Awaitable[Answer]]


class Guard:
    """Runs executions under the lease of an idempotency key."""

    def __init__(self, store: Store, new_id: Callable[[], uuid.UUID] = uuid.uuid4) -> None:
        self._store = store
        self._new_id = new_id

    async def once(self, scope: Scope, request_hash: bytes, execute: Execute) -> Answer:
        """The key's answer: kept from before, or from executing now.

        Raises:
            IdempotencyKeyReusedError, IdempotencyKeyInUseError.
            MeshError: no answer yet; the same call may be made again.
        """
        reservation = await self._store.reserve(scope, request_hash, self._new_id())
        match reservation:
            case Finished(answer):
                return answer
            case Reused():
                raise IdempotencyKeyReusedError
            case InUse(retry_after_seconds):
                raise IdempotencyKeyInUseError(retry_after_seconds)
            case Lease():
                return await self.under_lease(reservation, execute)

    async def under_lease(self, lease: Lease, execute: Execute) -> Answer:
        """Execute, and keep the answer or give the lease back. Raises as `once`."""
        try:
            return await self._keep_refusal(lease, execute)
        except LeaseLostError:
            # Somebody slower or faster has it now; what they answered is the answer.
            answer = await self._store.answer(lease.operation_id)
            if answer is None:
                raise IdempotencyKeyInUseError(_RETRY_SECONDS) from None
            return answer
        except MeshError:
            await self._give_back(lease)
            raise

    async def _keep_refusal(self, lease: Lease, execute: Execute) -> Answer:
        try:
            return await execute(lease)
        except Refusal as refusal:
            answer = convert.failure(refusal)
            await self._store.refuse(lease, answer)
            return answer

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._store.release(lease)
        except MeshError as error:
            # The lease runs out by itself; the first error is the one to tell.
            _log.warning("lease not released", reason=error.reason)
