"""Questions about objects, put to the workload's own policy decision point.

The sidecar has decided whether the caller may call the RPC at all; whether this
user may see this payment depends on facts that only the service's database has.
Asked is OPA's data API (POST /v1/data/paymesh/objects/decision); whatever is
not plainly `allowed: true` refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import aiohttp
import grpc
from opa_client.opa_async import AsyncOpaClient

from meshkit.config import AppConfig
from meshkit.context import CallContext, current
from meshkit.errors import MeshError
from meshkit.logging import get_logger

PACKAGE_PATH = "paymesh/objects"
RULE_NAME = "decision"
DEFAULT_TIMEOUT_SECONDS = 1.0

_log = get_logger(__name__)


class ObjectDenied(MeshError):
    """Policy does not let this user do this with this object.

    Where even the object's existence is not the user's to know, the service
    catches this and answers NOT_FOUND. `policy_reason` is for logs.
    """

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "OBJECT_DENIED"
    message = "Policy refuses this action on this object."

    def __init__(self, policy_reason: str = "OBJECT_DENIED") -> None:
        super().__init__()
        self.policy_reason = policy_reason


class PolicyUnavailable(MeshError):
    """The policy decision point did not answer, or not in time: nobody decided."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "POLICY_ENGINE_UNAVAILABLE"
    message = "The policy decision point cannot be reached."

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=1.0)


class ObjectPolicyPort(Protocol):
    """What a handler needs: ObjectPolicy, or testing.FakeObjectPolicy."""

    async def allowed(self, action: str, obj: Mapping[str, object]) -> None:
        """Return if the current call may do `action` with the object.

        `action` is such as `payments.read`; `obj` has some of tenant, owner, kind,
        state. Raises ObjectDenied, PolicyUnavailable.
        """


class ObjectPolicy:
    """ObjectPolicyPort over HTTP, one connection pool for the life of the process."""

    def __init__(
        self, config: AppConfig, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        address = urlsplit(config.pdp_url)
        # retries=0: the library waits 0.3 s before a retry, longer than most calls last.
        self._client = AsyncOpaClient(
            host=address.hostname or "",
            port=address.port or 0,
            token=config.pdp_token,
            timeout=timeout_seconds,
            retries=0,
        )
        self._timeout_seconds = timeout_seconds
        self._opening = asyncio.Lock()
        self._open = False

    async def allowed(self, action: str, obj: Mapping[str, object]) -> None:
        """Return if policy allows it. Raises ObjectDenied, PolicyUnavailable."""
        call = current()
        question = question_of(action, call, obj)
        remaining_seconds = call.remaining_seconds()
        timeout_seconds = min(
            self._timeout_seconds,
            self._timeout_seconds if remaining_seconds is None else remaining_seconds,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._ask(question)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            _log.warning("policy decision point unavailable", error=type(error).__name__)
            raise PolicyUnavailable from error
        decide(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close_connection()
        self._open = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(self, question: Mapping[str, object]) -> object:
        async with self._opening:
            if not self._open:
                await self._client.__aenter__()
                self._open = True
        try:
            return await self._query(question)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # An idle connection that OPA closed meanwhile; a fresh one answers.
            return await self._query(question)

    async def _query(self, question: Mapping[str, object]) -> object:
        answer: object = await self._client.query_rule(
            input_data=dict(question), package_path=PACKAGE_PATH, rule_name=RULE_NAME
        )
        return answer


def question_of(action: str, call: CallContext, obj: Mapping[str, object]) -> dict[str, object]:
    """Build the policy's input: action, caller, user (or null) and the object's facts."""
    user = call.user
    return {
        "action": action,
        "caller": str(call.caller),
        "user": (
            {"sub": user.sub, "tenant": user.tenant, "roles": sorted(user.roles)} if user else None
        ),
        "object": dict(obj),
    }


def decide(answer: object) -> None:
    """Read OPA's answer; return only on `{"result": {"allowed": true}}`. Raises ObjectDenied."""
    result = answer.get("result") if isinstance(answer, Mapping) else None
    if not isinstance(result, Mapping) or result.get("allowed") is not True:
        reason = result.get("reason") if isinstance(result, Mapping) else None
        raise ObjectDenied(reason if isinstance(reason, str) else "UNDEFINED")
