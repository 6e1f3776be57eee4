"""Calls as they arrive from the sidecar, and a server to send them to."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from meshkit.config import AppConfig
from meshkit.context import CallContext, User
from meshkit.identity import SpiffeId
from meshkit.server import Registration, start

TRUST_DOMAIN = "paymesh.internal"


def app_config(directory: Path, **changes: Any) -> AppConfig:
    """Return a configuration whose sockets are in `directory`; `changes` override its fields."""
    fields: dict[str, Any] = {
        "workload": "ledger",
        "trust_domain": TRUST_DOMAIN,
        "app_socket": directory / "app.sock",
        "outbound_socket": directory / "outbound.sock",
        "egress_socket": directory / "egress.sock",
        "dsn": "host=/nowhere dbname=none",
        "pdp_url": "http://127.0.0.1:9",
        "pdp_token": "test-pdp-token",
        "provider_key": None,
        "max_message_bytes": 65536,
        "otlp_endpoint": None,
        "log_level": "info",
    }
    return AppConfig(**(fields | changes))


def call_context(
    caller: str = "gateway",
    user: User | None = None,
    *,
    grant: str = "test-grant",
    deadline_seconds: float | None = None,
    authorization: str | None = None,
) -> CallContext:
    """Return a context as of a call from the workload `caller`, for `context.activate`."""
    return CallContext(
        caller=SpiffeId.of_workload(TRUST_DOMAIN, "paymesh", caller),
        user=user,
        grant=grant,
        decision_id="test-decision",
        deadline_seconds=deadline_seconds,
        authorization=authorization,
    )


def headers(
    caller: str = "gateway", user: User | None = None, authorization: str | None = None
) -> tuple[tuple[str, str], ...]:
    """Return the headers that the sidecar sets, as metadata of a call to `serving`."""
    metadata = [
        ("x-paymesh-caller", str(SpiffeId.of_workload(TRUST_DOMAIN, "paymesh", caller))),
        ("x-paymesh-grant", "test-grant"),
        ("x-paymesh-decision-id", "test-decision"),
    ]
    if user is not None:
        metadata += [
            ("x-paymesh-user", user.sub),
            ("x-paymesh-tenant", user.tenant),
            ("x-paymesh-roles", ",".join(sorted(user.roles))),
        ]
    if authorization is not None:
        metadata.append(("authorization", authorization))
    return tuple(metadata)


@asynccontextmanager
async def serving(
    services: Sequence[Registration], config: AppConfig | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """Run the real server on a temporary Unix socket; give a plain channel to it.

    The channel adds no headers: pass `metadata=headers(...)` to each call.
    """
    with tempfile.TemporaryDirectory(prefix="mk") as directory:
        used = config or app_config(Path(directory))
        server, _ = await start(services, used)
        try:
            async with grpc.aio.insecure_channel(f"unix:{used.app_socket}") as channel:
                yield channel
        finally:
            await server.stop(None)
