"""Finds the parts of a generated Envoy configuration that the mutation tests break."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]


def named(blocks: list[Config], name: str) -> Config:
    """The block with that name, or the one whose name ends so."""
    return next(b for b in blocks if b["name"] == name or b["name"].endswith("." + name))


def listener(config: Config, name: str) -> Config:
    """A listener."""
    return named(config["static_resources"]["listeners"], name)


def chain(config: Config, name: str) -> Config:
    """The filter chain of a listener."""
    found: Config = listener(config, name)["filter_chains"][0]
    return found


def manager(config: Config, name: str) -> Config:
    """The HTTP connection manager of a listener."""
    filters = chain(config, name)["filters"]
    found: Config = named(filters, "http_connection_manager")["typed_config"]
    return found


def http_filter(config: Config, door: str, name: str) -> Config:
    """The configuration of an HTTP filter."""
    found: Config = named(manager(config, door)["http_filters"], name)["typed_config"]
    return found


def routes(config: Config, name: str) -> list[Config]:
    """The routes of a listener's first virtual host."""
    found: list[Config] = manager(config, name)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def cluster(config: Config, name: str) -> Config:
    """A cluster."""
    return named(config["static_resources"]["clusters"], name)


def context(owner: Config) -> Config:
    """The TLS context of a filter chain or a cluster."""
    found: Config = owner["transport_socket"]["typed_config"]
    return found


def common(owner: Config) -> Config:
    """The part of a TLS context that both sides have."""
    found: Config = context(owner)["common_tls_context"]
    return found


def sans(owner: Config) -> list[Config]:
    """The subject alternative names that a TLS context accepts."""
    tls = common(owner)
    validation = tls.get("combined_validation_context", {}).get("default_validation_context")
    found: list[Config] = (validation or tls["validation_context"])["match_typed_subject_alt_names"]
    return found
