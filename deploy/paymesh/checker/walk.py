"""Finds one's way in an Envoy configuration that may be broken anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Config = dict[str, Any]


def at(value: Any, *path: str | int) -> Any:
    """The value at `path`, or None where the path ends early."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def items(value: Any, *path: str | int) -> list[Any]:
    """The list at `path`; empty where there is none."""
    found = at(value, *path)
    return found if isinstance(found, list) else []


def blocks(value: Any) -> Iterator[Config]:
    """Every mapping in `value`."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from blocks(child)
    elif isinstance(value, list):
        for child in value:
            yield from blocks(child)


def seconds(value: Any) -> float:
    """A duration such as `15s`; infinity where there is none, for that is what none means."""
    if isinstance(value, str) and value.endswith("s"):
        try:
            return float(value[:-1]) or float("inf")
        except ValueError:
            return float("inf")
    return float("inf")


def listeners(config: Config) -> dict[str, Config]:
    """Listeners by name."""
    found = items(config, "static_resources", "listeners")
    return {str(at(block, "name")): block for block in found}


def clusters(config: Config) -> dict[str, Config]:
    """Clusters by name."""
    found = items(config, "static_resources", "clusters")
    return {str(at(block, "name")): block for block in found}


def managers(listener: Config) -> list[Config]:
    """The HTTP connection managers of a listener's filter chains."""
    return [
        at(filter_, "typed_config") or {}
        for chain in items(listener, "filter_chains")
        for filter_ in items(chain, "filters")
        if at(filter_, "name") == "envoy.filters.network.http_connection_manager"
    ]


def http_filters(manager: Config) -> list[tuple[str, Config]]:
    """Name without its common prefix, and configuration, in order."""
    return [
        (str(at(f, "name")).removeprefix("envoy.filters.http."), at(f, "typed_config") or {})
        for f in items(manager, "http_filters")
    ]


def routes(manager: Config) -> list[Config]:
    """The routes of all virtual hosts."""
    hosts = items(manager, "route_config", "virtual_hosts")
    return [route for host in hosts for route in items(host, "routes")]


def addresses(cluster: Config) -> list[Any]:
    """The addresses of a cluster's endpoints."""
    return [
        at(endpoint, "endpoint", "address")
        for locality in items(cluster, "load_assignment", "endpoints")
        for endpoint in items(locality, "lb_endpoints")
    ]


def header_match(route: Config, name: str) -> Any:
    """What a route asks of a request header, None if nothing."""
    for header in items(route, "match", "headers"):
        if at(header, "name") == name:
            return header
    return None


def sans(context: Config, kind: str) -> set[str] | None:
    """The exact subject alternative names that a TLS context accepts.

    None if one of them is not an exact match of that kind.
    """
    found = set()
    common = at(context, "common_tls_context")
    validation = at(common, "combined_validation_context", "default_validation_context") or at(
        common, "validation_context"
    )
    for matcher in items(validation, "match_typed_subject_alt_names"):
        exact = at(matcher, "matcher", "exact")
        if at(matcher, "san_type") != kind or not exact or set(at(matcher, "matcher")) != {"exact"}:
            return None
        found.add(exact)
    return found
