"""Holds each request against the rules of its message (buf.validate)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import protovalidate
from google.protobuf.message import DecodeError, Message

from meshkit.errors import InvalidRequest
from meshkit.interceptors.base import CallInterceptor, Deserializer, Rpc

MAX_VIOLATIONS = 20
# Stands where a request would.
_UNREADABLE = object()


class ValidationInterceptor(CallInterceptor):
    """Refuses, with INVALID_REQUEST and the fields at fault, a request that breaks the rules,
    or that is no message at all.
    """

    def reading(self, deserializer: Deserializer) -> Deserializer:
        """Return one that lets the call begin, so that it is refused and logged like another:
        gRPC itself would answer with UNKNOWN and the parser's words.
        """
        if deserializer is None:
            return None

        def read(data: bytes) -> Any:
            try:
                return deserializer(data)
            except DecodeError:
                return _UNREADABLE

        return read

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        """Validate before the call. Raises InvalidRequest."""
        if rpc.request is _UNREADABLE:
            raise InvalidRequest("The request is not a message of its type.")
        if isinstance(rpc.request, Message) and not rpc.is_health:
            validate(rpc.request)
        yield


def validate(request: Message) -> None:
    """Raise InvalidRequest naming the fields at fault and the rules, never a value."""
    violations = protovalidate.collect_violations(request)
    if not violations:
        return
    found = [
        (field_path(violation), violation.proto.rule_id or "invalid")
        for violation in violations[:MAX_VIOLATIONS]
    ]
    fields = ", ".join(dict.fromkeys(field or "the request" for field, _ in found))
    raise InvalidRequest(f"Breaks the rules of its message: {fields}.", found)


def field_path(violation: protovalidate.Violation) -> str:
    """Return the path of the field at fault, such as `legs[1].amount.currency_code`."""
    path = ""
    field = violation.proto.field
    for element in field.elements if field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        # A map's key comes from the request; an index says nothing about it.
        if subscript is not None and subscript.field == "index":
            path += f"[{subscript.value}]"
    return path
