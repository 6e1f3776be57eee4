"""One question to one decision point, again and again, as its Envoy would ask it.

The two messages of Envoy's `ext_authz` v3 are described here as far as they are needed:
field numbers as in envoy/service/auth/v3/external_auth.proto.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STEP_SECONDS = 0.008
_TIMEOUT_SECONDS = 5.0
_METHOD = "/envoy.service.auth.v3.Authorization/Check"
_FIELDS: dict[str, list[tuple[str, int, str | None]]] = {
    "Answer": [("status", 1, "Status")],
    "Status": [("code", 1, None)],
    "Question": [("attributes", 1, "Attributes")],
    "Attributes": [("source", 1, "Peer"), ("request", 4, "Request")],
    "Peer": [("principal", 4, "")],
    "Request": [("http", 2, "Http")],
    "Http": [("method", 2, ""), ("headers", 3, "Header"), ("path", 4, "")],
    "Header": [("key", 1, ""), ("value", 2, "")],
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="paymesh/bench/asking.proto", package="paymesh.bench", syntax="proto3"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if kind:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".paymesh.bench.{kind}"
            else:
                added.type = kinds.TYPE_INT32 if kind is None else kinds.TYPE_STRING
            if kind == "Header":  # a map is a list of pairs
                added.label = kinds.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"paymesh.bench.{name}"))
        for name in _FIELDS
    }


_MESSAGES = _messages()


def question(principal: str, rpc: str) -> bytes:
    """The check of a gRPC call without a body or a user."""
    asked = _MESSAGES["Question"]()
    asked.attributes.source.principal = principal
    asked.attributes.request.http.method = "POST"
    asked.attributes.request.http.path = rpc
    asked.attributes.request.http.headers.add(key="content-type", value="application/grpc")
    return bytes(asked.SerializeToString())


class Asker:
    """Asks one decision point without pause, one question after the other."""

    def __init__(self, target: str, asked: bytes) -> None:
        self._channel = grpc.aio.insecure_channel(target)
        self._check = self._channel.unary_unary(_METHOD, bytes, bytes)
        self._asked = asked
        self._changed = asyncio.Condition()
        self.allowed: bool | None = None
        self.changed_at = 0.0
        self.changes = 0
        self.answers = 0

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            grpc.aio.AioRpcError: a check failed, which no edit may cause.
        """
        async with self._channel:
            while True:
                raw = await self._check(self._asked, timeout=_TIMEOUT_SECONDS)
                now = time.monotonic()
                allowed = _MESSAGES["Answer"].FromString(raw).status.code == 0
                self.answers += 1
                if allowed != self.allowed:
                    async with self._changed:
                        self.allowed, self.changed_at = allowed, now
                        self.changes += 1
                        self._changed.notify_all()
                await asyncio.sleep(_STEP_SECONDS)

    async def until(self, *, allowed: bool, seconds: float) -> bool:
        """Whether the answer became this within the time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self.allowed is allowed)
                return True
        return False
