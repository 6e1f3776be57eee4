"""Properties of the inbound listener: who gets in, and that policy is asked about everything."""

from __future__ import annotations

from paymesh.checker import tls
from paymesh.checker.facts import COMMON_RPCS, STREAMED_RPCS, Facts
from paymesh.checker.finding import Findings
from paymesh.checker.walk import (
    Config,
    addresses,
    at,
    clusters,
    header_match,
    http_filters,
    items,
    managers,
    routes,
    seconds,
)

_AUTHZ = "envoy.filters.http.ext_authz"
_UPSTREAM = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# What a gRPC server parses of a request before it calls anybody, by prefix and by suffix.
_SERVERS = ("grpc-status", "grpc-message", "grpc-previous-rpc-attempts", "grpc-retry-pushback-ms")
_CODED = "-bin"
_DEADLINE = "[0-9]{1,8}[HMSmun]"
_BODY_ONLY = {"check_settings": {"disable_request_body_buffering": True}}


def check_inbound(
    found: Findings, facts: Facts, workload: str, config: Config, listener: Config
) -> None:
    """All of it, for one service."""
    raw = facts.mesh["workloads"][workload]
    expected = {"address": facts.mesh["local"]["address"], "port_value": raw["port"]}
    found.equal("listener-address", at(listener, "address", "socket_address"), expected)
    for chain in [
        *items(listener, "filter_chains"),
        *([listener["default_filter_chain"]] if "default_filter_chain" in listener else []),
    ]:
        tls.check_callee_side(found, facts, workload, chain)
        found.equal(
            "alpn-h2-only",
            at(chain, "filter_chain_match"),
            {"transport_protocol": "tls", "application_protocols": ["h2"]},
        )
    for manager in managers(listener):
        found.equal("http2-only", at(manager, "codec_type"), "HTTP2")
        found.equal(
            "client-certificate-header-set",
            at(manager, "forward_client_cert_details"),
            "SANITIZE_SET",
        )
        _check_filters(found, facts, manager)
        _check_routes(found, facts, workload, manager)
        _check_fields(found, manager)
    http2 = at(clusters(config).get("app", {}), "typed_extension_protocol_options", _UPSTREAM)
    found.equal(
        "app-keeps-no-fields",
        at(http2, "explicit_http_config", "http2_protocol_options", "hpack_table_size"),
        0,
        "a field of one caller's must not be in the way of another's call",
    )
    for name, socket in (("app", "app.sock"), ("authz", "authz.sock")):
        found.equal(
            f"{name}-on-unix-socket",
            addresses(clusters(config).get(name, {})),
            [{"pipe": {"path": socket}}],
        )


def _check_filters(found: Findings, facts: Facts, manager: Config) -> None:
    filters = http_filters(manager)
    names = [name for name, _ in filters]
    found.equal(
        "policy-before-app",
        names,
        ["header_mutation", "ext_authz", "router"],
        "headers are stripped, then policy decides, then the call is routed",
    )
    for name, authz in filters:
        if name == "ext_authz":
            _check_authz(found, facts, authz)
    for filter_ in items(manager, "http_filters"):
        found.expect(
            not at(filter_, "disabled") and not at(filter_, "is_optional"),
            "filters-enabled",
            f"{at(filter_, 'name')} is switched off",
        )
    mappers = items(manager, "local_reply_config", "mappers")
    first = [at(h, "header", "value") for h in items(mappers, 0, "headers_to_add")]
    found.expect(
        "POLICY_ENGINE_UNAVAILABLE" in first,
        "policy-engine-failure-named",
        "a failed check has no reason of its own",
    )


def _check_authz(found: Findings, facts: Facts, authz: Config) -> None:
    found.equal(
        "policy-fails-closed",
        bool(at(authz, "failure_mode_allow") or at(authz, "failure_mode_allow_header_add")),
        expected=False,
        mend="set failure_mode_allow to false",
    )
    found.expect(
        not at(authz, "filter_enabled") and not at(authz, "filter_enabled_metadata"),
        "policy-always-asked",
        "ext_authz is enabled for some requests only",
        "leave filter_enabled out",
    )
    found.equal("policy-error-status", at(authz, "status_on_error", "code"), "ServiceUnavailable")
    service = at(authz, "grpc_service")
    found.equal("policy-asked-locally", at(service, "envoy_grpc", "cluster_name"), "authz")
    timeout = seconds(at(service, "timeout"))
    limit = facts.mesh["limits"]["authz_timeout_seconds"]
    found.expect(timeout <= limit, "policy-timeout", f"{timeout:g} s, not {limit} s at most")
    body = at(authz, "with_request_body")
    found.expect(
        at(body, "max_request_bytes") and at(body, "pack_as_bytes"),
        "policy-sees-body",
        "policy decides without the message",
        "set with_request_body with pack_as_bytes",
    )
    found.expect(
        body is not None and not at(body, "allow_partial_message"),
        "policy-sees-whole-body",
        "policy decides on a part of the message",
        "set allow_partial_message to false",
    )
    rules = at(authz, "decoder_header_mutation_rules")
    found.equal(
        "policy-headers-bounded",
        (at(rules, "disallow_all"), at(rules, "allow_expression", "regex")),
        (True, "x-paymesh-.*"),
    )


def _check_routes(found: Findings, facts: Facts, workload: str, manager: Config) -> None:
    served = set()
    for route in routes(manager):
        path = at(route, "match", "path")
        _check_overrides(found, route, path)
        if "route" not in route:
            continue
        found.equal("routes-to-app", at(route, "route", "cluster"), "app")
        exact = at(header_match(route, ":path"), "string_match", "exact")
        post = at(header_match(route, ":method"), "string_match", "exact")
        found.expect(
            path and exact == path and post == "POST" and "grpc" in at(route, "match"),
            "routes-exact",
            f"{path or at(route, 'match')} also takes something that is not that RPC",
            "match path, :path, :method and grpc",
        )
        served.add(path)
    found.equal(
        "routes-complete",
        served,
        facts.own_rpcs(workload) | COMMON_RPCS,
        "the routes must be the service's RPCs, health and reflection",
    )
    first = (routes(manager) or [{}])[0]
    encoding = header_match(first, "grpc-encoding")
    found.expect(
        "direct_response" in first
        and at(encoding, "string_match", "exact") == "identity"
        and at(encoding, "invert_match"),
        "compression-refused",
        "a compressed message, which policy cannot read, is passed on",
        "refuse it by the first route",
    )


def _check_fields(found: Findings, manager: Config) -> None:
    """A gRPC server answers what it cannot parse before policy's word counts for anything."""
    filters = http_filters(manager)
    mutations = items(filters[0][1], "mutations", "request_mutations") if filters else []
    matchers = [at(mutation, "remove_on_match", "key_matcher") or {} for mutation in mutations]
    prefixes = tuple(str(one["prefix"]) for one in matchers if "prefix" in one)
    passed = [name for name in _SERVERS if not name.startswith(prefixes)]
    if {"suffix": _CODED} not in matchers:
        passed.append(f"*{_CODED}")
    found.expect(
        not passed,
        "server-fields-stripped",
        f"{', '.join(passed)} pass through",
        "the first HTTP filter must remove them",
    )
    second = (routes(manager) or [{}])[1:2]
    deadline = header_match(second[0], "grpc-timeout") if second else None
    found.expect(
        bool(second)
        and "direct_response" in second[0]
        and at(deadline, "string_match", "safe_regex", "regex") == _DEADLINE
        and at(deadline, "invert_match"),
        "deadlines-well-formed",
        "a deadline that is none is passed on",
        "refuse it by the second route",
    )


def _check_overrides(found: Findings, route: Config, path: str | None) -> None:
    override = at(route, "typed_per_filter_config") or {}
    settings = {k: v for k, v in (at(override, _AUTHZ) or {}).items() if k != "@type"}
    allowed = {} if path not in STREAMED_RPCS else _BODY_ONLY
    found.expect(
        set(override) <= {_AUTHZ} and settings in ({}, allowed),
        "policy-not-overridden",
        f"the route of {path or 'the rest'} changes how policy is asked",
        "only a streamed request may go without its body",
    )
