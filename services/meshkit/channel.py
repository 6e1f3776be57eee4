"""Calls to other workloads, through the workload's outbound listener and nowhere else.

The listener is a Unix socket of the workload's Envoy, which routes by the
RPC's service to the callee, with mutual TLS. What is passed on from the call
being served: the end user's token, the trace, and the time that is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import grpc
from opentelemetry import propagate, trace

from meshkit.config import AppConfig
from meshkit.context import AUTHORIZATION_HEADER, current_or_none
from meshkit.telemetry import rpc_attributes, set_rpc_status, tracer

DEFAULT_TIMEOUT_SECONDS = 10.0
DEADLINE_MARGIN_SECONDS = 0.1

if TYPE_CHECKING:
    _UnaryUnaryClientInterceptor = grpc.aio.UnaryUnaryClientInterceptor[Any, Any]
else:
    _UnaryUnaryClientInterceptor = grpc.aio.UnaryUnaryClientInterceptor

_MAX_METADATA_BYTES = 16 * 1024


def outbound_channel(config: AppConfig) -> grpc.aio.Channel:
    """Return a channel to every callee; close it with `on_stop=[channel.close]`.

    Within a call the callee gets the end user's token and at most the time that
    is left less 0.1 s; outside of one (a background task) no token and 10 s,
    unless the call names a timeout of its own.
    """
    return grpc.aio.insecure_channel(
        f"unix:{config.outbound_socket}",
        options=(
            ("grpc.max_receive_message_length", config.max_message_bytes),
            ("grpc.max_send_message_length", config.max_message_bytes),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            # Retries are Envoy's and the caller's business, not the library's.
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ),
        interceptors=[cast("Any", PassOn())],
    )


class PassOn(_UnaryUnaryClientInterceptor):
    """Passes the current call's authorization, deadline and trace on to the callee."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Call on with the metadata and the timeout completed, in a span of its own."""
        method = client_call_details.method
        name = method.decode() if isinstance(method, bytes) else method
        with tracer().start_as_current_span(
            name.removeprefix("/"),
            kind=trace.SpanKind.CLIENT,
            attributes=rpc_attributes(name),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            call = await continuation(completed(client_call_details), request)
            try:
                code = await call.code()
            except asyncio.CancelledError:
                # Whoever waits has gone: the callee is to stop as well.
                call.cancel()
                set_rpc_status(span, grpc.StatusCode.CANCELLED, is_error=True)
                raise
            set_rpc_status(span, code, is_error=code is not grpc.StatusCode.OK)
            return call


def completed(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    """Return the details with authorization, timeout and trace of the current call.

    Raises AioRpcError DEADLINE_EXCEEDED when no time is left.
    """
    call = current_or_none()
    metadata = grpc.aio.Metadata(*tuple(details.metadata or ()))
    if call is not None and call.authorization and AUTHORIZATION_HEADER not in metadata:
        metadata.add(AUTHORIZATION_HEADER, call.authorization)
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    for key, value in carrier.items():
        metadata[key] = value
    timeout_seconds = DEFAULT_TIMEOUT_SECONDS if details.timeout is None else details.timeout
    remaining_seconds = call.remaining_seconds() if call else None
    if remaining_seconds is not None:
        # The margin leaves time to tell one's own caller what became of it.
        timeout_seconds = min(timeout_seconds, remaining_seconds - DEADLINE_MARGIN_SECONDS)
        if timeout_seconds <= 0:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.aio.Metadata(),
                grpc.aio.Metadata(),
                "No time is left for this call; it was not sent.",
                debug_error_string="",
            )
    return grpc.aio.ClientCallDetails(
        details.method, timeout_seconds, metadata, details.credentials, details.wait_for_ready
    )
