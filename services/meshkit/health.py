"""The health service of gRPC, whole: the library's own leaves List out."""

# ruff: noqa: N802  # gRPC names the methods

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer


class Health(HealthServicer):  # type: ignore[misc]  # the library has no types
    """Check, Watch and List. `names` are the services that List tells of."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = tuple(names)

    async def List(
        self, _request: health_pb2.HealthListRequest, context: Any
    ) -> health_pb2.HealthListResponse:
        """Every service with its status, as Check has it."""
        reply = health_pb2.HealthListResponse()
        for name in self._names:
            asked = health_pb2.HealthCheckRequest(service=name)
            reply.statuses[name].CopyFrom(await self.Check(asked, context))
        return reply
