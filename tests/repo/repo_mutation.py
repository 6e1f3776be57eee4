"""A way to break a generated file, and what is needed to write one down in a line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import repo_config as part
from repo_config import Config

from paymesh.checker.finding import Findings

LEDGER, PAYMENTS, GATEWAY = "ledger", "payments", "gateway"
ANOTHER_ID = "spiffe://paymesh.internal/ns/paymesh/sa/bank-link"
EXT_AUTHZ = "envoy.filters.http.ext_authz"


@dataclasses.dataclass(frozen=True)
class Mutation:
    """Breaks one file; `properties` is everything that the checker says then."""

    file: str
    properties: frozenset[str]
    apply: Callable[[Config], object]


def mutation(file: str, properties: str, apply: Callable[[Config], object]) -> Mutation:
    """One way to break `file`; `properties` are separated by spaces."""
    return Mutation(file, frozenset(properties.split()), apply)


def put(where: Config, **values: Any) -> None:
    """Sets fields, in a place where only an expression fits."""
    where.update(values)


def add_uri(owner: Config, uri: str) -> None:
    """Lets one more SPIFFE ID in."""
    part.sans(owner).append({"san_type": "URI", "matcher": {"exact": uri}})


def accept_any(owner: Config) -> None:
    """Lets the whole trust domain in."""
    part.sans(owner)[0]["matcher"] = {"prefix": "spiffe://paymesh.internal/"}


def ext_authz(config: Config) -> Config:
    """The policy engine's filter."""
    return part.http_filter(config, "inbound", "ext_authz")


def inbound(config: Config) -> Config:
    """The filter chain of the inbound listener."""
    return part.chain(config, "inbound")


def protocol_options(config: Config, door: str = "inbound") -> Config:
    """The options of a listener's HTTP protocol."""
    found: Config = part.manager(config, door)["common_http_protocol_options"]
    return found


def app_route(config: Config) -> Config:
    """The first route to the app."""
    return next(route for route in part.routes(config, "inbound") if "route" in route)


def http2_options(cluster: Config) -> Config:
    """How a cluster is spoken to."""
    (options,) = cluster["typed_extension_protocol_options"].values()
    found: Config = options["explicit_http_config"]["http2_protocol_options"]
    return found


def tls_params(owner: Config) -> Config:
    """The versions of a TLS context."""
    found: Config = part.common(owner)["tls_params"]
    return found


def add_cluster(config: Config) -> None:
    """A cluster that nobody granted."""
    clusters = config["static_resources"]["clusters"]
    clusters.append({**part.cluster(config, "ledger"), "name": "elsewhere"})


def user_tokens(config: Config) -> Config:
    """The filter that verifies users' tokens."""
    return part.http_filter(config, "public", "jwt_authn")


def token_issuer(config: Config) -> Config:
    """What is known of the tokens' issuer."""
    found: Config = user_tokens(config)["providers"]["users"]
    return found


def transcoder(config: Config) -> Config:
    """The filter that turns JSON into gRPC."""
    return part.http_filter(config, "public", "grpc_json_transcoder")


def recorded_properties(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of what the checker asserts from now on, whether it holds or not."""
    asserted: set[str] = set()
    expect = Findings.expect

    def recorded(
        self: Findings, holds: object, property_: str, problem: str, mend: str = ""
    ) -> None:
        asserted.add(property_)
        expect(self, holds, property_, problem, mend)

    monkeypatch.setattr(Findings, "expect", recorded)
    return asserted
