"""What an environment changes in a committed configuration: ports, and tracing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.render.blocks import Block, any_, endpoint, extension, seconds, tcp

_COLLECTOR = "tracing"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"


def readdress(config: Block, mesh: Mesh) -> Block:
    """The same configuration with every port moved by the mesh's offset.

    Args:
        config: as rendered and committed, that is with an offset of 0.
        mesh: loaded with the offset to apply.
    """
    moved = copy.deepcopy(config)
    if mesh.port_offset == 0:
        return moved
    for block in _blocks(moved):
        if "port_value" in block:
            block["port_value"] += mesh.port_offset
    return moved


def with_tracing(config: Block, endpoint_url: str) -> Block:
    """The same configuration with spans sent by OTLP over gRPC.

    Without it, `traceparent` passes through as it came.

    Args:
        config: as committed or readdressed.
        endpoint_url: such as `http://127.0.0.1:4317`, as in OTEL_EXPORTER_OTLP_ENDPOINT.

    Raises:
        ConfigError: the endpoint is not an http URL with an IP address and a port.
    """
    url = urlsplit(endpoint_url)
    if url.scheme != "http" or url.hostname is None:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint_url!r}: "
            "set it to an address such as http://127.0.0.1:4317"
        )
    traced = copy.deepcopy(config)
    service = traced["node"]["id"]
    provider = extension(
        "envoy.tracers.opentelemetry",
        "envoy.config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": _COLLECTOR}, "timeout": seconds(1)},
        service_name=f"{service}-envoy",
    )
    for block in _blocks(traced):
        if block.get("name") == _CONNECTION_MANAGER:
            manager = block["typed_config"]
            manager["tracing"] = {
                "provider": provider,
                "random_sampling": {"value": 100},
                "spawn_upstream_span": True,
            }
    traced["static_resources"]["clusters"].append(_collector(url.hostname, url.port or 4317))
    return traced


def _collector(host: str, port: int) -> Block:
    return {
        "name": _COLLECTOR,
        "type": "STRICT_DNS",
        "connect_timeout": seconds(1),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: any_(_HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": {}})
        },
        "load_assignment": endpoint(_COLLECTOR, tcp(host, port)),
    }


def _blocks(value: Any) -> Iterator[Block]:
    """Every mapping in `value`, outermost first."""
    if isinstance(value, dict):
        yield value
        for child in list(value.values()):
            yield from _blocks(child)
    elif isinstance(value, list):
        for child in value:
            yield from _blocks(child)
