"""Properties of the gateway's public listener."""

from __future__ import annotations

from paymesh.checker import tls
from paymesh.checker.facts import Facts
from paymesh.checker.finding import Findings
from paymesh.checker.walk import (
    Config,
    at,
    header_match,
    http_filters,
    items,
    managers,
    routes,
)

_ORDER = ["header_mutation", "local_ratelimit", "jwt_authn", "grpc_json_transcoder", "router"]


def check_public(found: Findings, facts: Facts, workload: str, listener: Config) -> None:
    """All of it."""
    raw = facts.mesh["workloads"][workload]
    expected = {"address": facts.mesh["local"]["address"], "port_value": raw["port"]}
    found.equal("listener-address", at(listener, "address", "socket_address"), expected)
    for chain in items(listener, "filter_chains"):
        tls.check_public_side(found, chain)
    for manager in managers(listener):
        found.equal(
            "strangers-distrusted",
            (at(manager, "use_remote_address"), at(manager, "preserve_external_request_id")),
            (True, False),
        )
        found.expect(
            not at(manager, "internal_address_config"),
            "nobody-internal",
            "clients at some addresses may choose their request id and Envoy's headers",
            "leave internal_address_config out",
        )
        filters = http_filters(manager)
        found.equal(
            "token-before-route",
            [name for name, _ in filters],
            _ORDER,
            "headers are stripped, the rate limited and the token verified before anything else",
        )
        by_name = dict(filters)
        _check_tokens(found, facts, by_name.get("jwt_authn", {}))
        _check_transcoder(found, facts, workload, by_name.get("grpc_json_transcoder", {}))
        _check_routes(found, facts, workload, manager)


def _check_tokens(found: Findings, facts: Facts, jwt: Config) -> None:
    users = facts.mesh["users"]
    providers = at(jwt, "providers") or {}
    found.equal("one-token-issuer", set(providers), {"users"})
    provider = at(providers, "users")
    found.equal("token-issuer", at(provider, "issuer"), users["issuer"])
    found.equal("token-audience", at(provider, "audiences"), [users["audience"]])
    found.expect(
        at(provider, "require_expiration"), "token-expires", "a token without `exp` is taken"
    )
    found.equal(
        "token-passed-on",
        at(provider, "forward"),
        expected=True,
        mend="the callee's policy verifies it again",
    )
    found.expect(
        at(provider, "from_headers") and not at(provider, "from_params"),
        "token-in-header-only",
        "a token is taken from the query, and queries are logged",
        "set from_headers and not from_params",
    )
    found.equal(
        "token-required",
        at(jwt, "rules"),
        [{"match": {"prefix": "/"}, "requires": {"provider_name": "users"}}],
        "one rule for every path",
    )
    found.expect(not at(jwt, "bypass_cors_preflight"), "token-required", "OPTIONS needs no token")


def _check_transcoder(found: Findings, facts: Facts, workload: str, config: Config) -> None:
    services = {
        facts.mesh["workloads"][callee]["rpc_service"] for callee in facts.callees(workload)
    }
    found.equal("json-matches-grants", set(items(config, "services")), services)
    validation = at(config, "request_validation_options")
    strict = ("reject_unknown_method", "reject_unknown_query_parameters")
    found.expect(
        all(at(validation, option) for option in strict)
        and not at(config, "ignore_unknown_query_parameters")
        and not at(config, "auto_mapping"),
        "json-strict",
        "JSON of no RPC is passed on",
        "reject unknown methods and query parameters",
    )
    found.expect(at(config, "max_request_body_size"), "json-bounded", "any size of JSON is taken")


def _check_routes(found: Findings, facts: Facts, workload: str, manager: Config) -> None:
    own = {rpc for callee in facts.callees(workload) for rpc in facts.own_rpcs(callee)}
    actual = set()
    for route in routes(manager):
        path = at(route, "match", "path")
        if "route" not in route:
            continue
        exact = at(header_match(route, ":path"), "string_match", "exact")
        found.expect(
            path and exact == path and "grpc" in at(route, "match"),
            "routes-exact",
            f"{path or at(route, 'match')} also takes something that is not that RPC",
        )
        actual.add((path, at(route, "route", "cluster")))
    expected = {
        (rpc, callee)
        for callee in facts.callees(workload)
        for rpc in facts.granted(workload) & own & facts.own_rpcs(callee)
    }
    found.equal(
        "public-matches-grants",
        actual,
        expected,
        "end users reach the RPCs that the gateway has a grant for, and no others",
    )
