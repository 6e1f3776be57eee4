"""Holds each request against the rules of its message (buf.validate)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import protovalidate
from google.protobuf.message import Message

from meshkit.errors import InvalidRequest
from meshkit.interceptors.base import CallInterceptor, Rpc

MAX_VIOLATIONS = 20


class ValidationInterceptor(CallInterceptor):
    """Refuses, with INVALID_REQUEST and the fields at fault, a request that breaks the rules."""

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        """Validate before the call. Raises InvalidRequest."""
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
