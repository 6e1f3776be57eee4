"""What the interceptors have in common: a context manager around each call."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    ServerInterceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    ServerInterceptor = grpc.aio.ServerInterceptor

_CODE_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}

Deserializer = Callable[[bytes], Any] | None

HEALTH_PREFIX = "/grpc.health.v1.Health/"


@dataclass(slots=True)
class CallRecord:
    """What is known of a call so far, for its line in the log."""

    caller: str = ""
    user: str = ""
    decision_id: str = ""
    reason: str = ""
    correlation_id: str = ""


record: ContextVar[CallRecord] = ContextVar("paymesh_call_record")


@dataclass(frozen=True, slots=True)
class Rpc:
    """A call as it arrives; `request` is None when the client streams."""

    method: str
    request: Any
    context: grpc.aio.ServicerContext[Any, Any]

    @property
    def headers(self) -> Mapping[str, str]:
        """The call's text headers."""
        return headers_of(self.context)

    @property
    def is_health(self) -> bool:
        """The health service is asked by the sidecar itself, which sets no caller."""
        return self.method.startswith(HEALTH_PREFIX)


class CallInterceptor(ServerInterceptor, ABC):
    """An interceptor whose `around` is entered before a call and left after it."""

    def __init__(self) -> None:
        # grpc asks for the handler at each call and gets the same one for a method.
        self._wrapped: dict[str, tuple[Any, grpc.RpcMethodHandler[Any, Any]]] = {}

    @abstractmethod
    def around(self, rpc: Rpc) -> AbstractAsyncContextManager[None]:
        """Return what is entered before the call and left, with its exception, after it."""

    def reading(self, deserializer: Deserializer) -> Deserializer:
        """Return how the request of a call without a stream is read; as it was, here."""
        return deserializer

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Wrap the RPC's handler; an unknown RPC stays unknown."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = (handler, _wrapped(handler, self, method))
            self._wrapped[method] = known
        return known[1]


def _wrapped(
    handler: grpc.RpcMethodHandler[Any, Any], interceptor: CallInterceptor, method: str
) -> grpc.RpcMethodHandler[Any, Any]:
    behaviour, make = _behaviour(handler)

    def around(
        request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AbstractAsyncContextManager[None]:
        seen = None if handler.request_streaming else request
        return interceptor.around(Rpc(method, seen, context))

    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        async with around(request, context):
            return await behaviour(request, context)

    async def answers(
        request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        async with around(request, context):
            async for response in behaviour(request, context):
                yield response

    # A streaming handler is either a generator or, as health's Watch, a coroutine that writes.
    generates = handler.response_streaming and inspect.isasyncgenfunction(behaviour)
    wrapped: grpc.RpcMethodHandler[Any, Any] = make(
        answers if generates else answer,
        request_deserializer=handler.request_deserializer
        if handler.request_streaming
        else interceptor.reading(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )
    return wrapped


def _behaviour(handler: grpc.RpcMethodHandler[Any, Any]) -> tuple[Any, Any]:
    if handler.request_streaming and handler.response_streaming:
        return handler.stream_stream, grpc.stream_stream_rpc_method_handler
    if handler.request_streaming:
        return handler.stream_unary, grpc.stream_unary_rpc_method_handler
    if handler.response_streaming:
        return handler.unary_stream, grpc.unary_stream_rpc_method_handler
    return handler.unary_unary, grpc.unary_unary_rpc_method_handler


def headers_of(context: grpc.aio.ServicerContext[Any, Any]) -> Mapping[str, str]:
    """Return the call's text headers; one that comes twice counts as missing."""
    headers: dict[str, str] = {}
    twice: set[str] = set()
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, bytes):
            continue
        if key in headers:
            twice.add(key)
        headers[key] = value
    for key in twice:
        del headers[key]
    return headers


def code_of(
    context: grpc.aio.ServicerContext[Any, Any], *, otherwise: grpc.StatusCode
) -> grpc.StatusCode:
    """Return the status code that was set for the call, `otherwise` if none was."""
    code: Any = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _CODE_BY_NUMBER.get(number, otherwise) if number else otherwise
