"""Properties of every listener, whoever it is for."""

from __future__ import annotations

from paymesh.checker.facts import Facts
from paymesh.checker.finding import Findings
from paymesh.checker.walk import Config, at, http_filters, items, managers, routes, seconds

_OWNER_ONLY = 0o600
_WILDCARDS = ("0.0.0.0", "::", "[::]", "")  # noqa: S104 — what must not be there
# Headers by which somebody could claim to be somebody.
_STRIPPED = ("x-paymesh-caller", "x-paymesh-user", "x-envoy-original-path", "x-forwarded-user")
_STRIPPED_OUTSIDE = ("x-paymesh-caller", "x-envoy-original-path", "x-forwarded-for")


def check_admin(found: Findings, config: Config) -> None:
    """Envoy's administration can do anything: a socket of the owner's, nothing else."""
    address = at(config, "admin", "address") or {}
    pipe = at(address, "pipe")
    found.expect(
        set(address) == {"pipe"} and at(pipe, "mode") == _OWNER_ONLY,
        "admin-on-unix-socket",
        "the administration interface is open to others",
        "listen on a pipe with mode 0600",
    )


def check_door(found: Findings, facts: Facts, name: str, listener: Config) -> None:
    """What holds of each listener and its HTTP connection managers."""
    _check_address(found, name, at(listener, "address") or {})
    found.expect(
        at(listener, "per_connection_buffer_limit_bytes"), "buffers-bounded", f"{name} has no limit"
    )
    chains = items(listener, "filter_chains")
    http = managers(listener)
    found.expect(
        len(chains) == len(http) == 1 and not at(listener, "default_filter_chain"),
        "one-filter-chain",
        f"{name} has {len(chains)} filter chains and {len(http)} HTTP connection managers",
        "one of each, so that nothing goes past it",
    )
    limits = [at(f, "typed_config", "max_connections") for f in items(chains, 0, "filters")]
    found.expect(
        limits and limits[0], "connections-bounded", f"{name} takes any number of connections"
    )
    for manager in http:
        _check_paths(found, name, manager)
        _check_limits(found, facts, name, manager)
        _check_stripping(found, name, manager)
        _check_last_route(found, name, manager)


def _check_address(found: Findings, name: str, address: Config) -> None:
    if set(address) == {"pipe"}:
        found.equal(
            "unix-socket-owner-only",
            at(address, "pipe", "mode"),
            _OWNER_ONLY,
            f"{name}: other workloads must not open the socket",
        )
        return
    host = at(address, "socket_address", "address")
    found.expect(
        isinstance(host, str) and host not in _WILDCARDS,
        "no-wildcard-address",
        f"{name} listens on {host!r}",
        "name the address in deploy/mesh.yaml",
    )


def _check_paths(found: Findings, name: str, manager: Config) -> None:
    found.equal(
        "escaped-slashes-rejected",
        at(manager, "path_with_escaped_slashes_action"),
        "REJECT_REQUEST",
    )
    found.equal(
        "paths-not-rewritten",
        (at(manager, "normalize_path"), at(manager, "merge_slashes")),
        (False, False),
        f"{name}: policy and app must see the path that came",
    )
    common = at(manager, "common_http_protocol_options")
    found.equal(
        "underscores-rejected",
        at(common, "headers_with_underscores_action"),
        "REJECT_REQUEST",
        f"{name}: an app may take x_paymesh_user for x-paymesh-user",
    )


def _check_limits(found: Findings, facts: Facts, name: str, manager: Config) -> None:
    common = at(manager, "common_http_protocol_options")
    life = seconds(at(common, "max_connection_duration"))
    found.expect(
        life < facts.mesh["identity"]["x509_svid_ttl_seconds"],
        "connection-life-bounded",
        f"{name}: a connection lives {life:g} s",
        "max_connection_duration must be shorter than an SVID's life",
    )
    for property_, value in (
        ("idle-connections-closed", at(common, "idle_timeout")),
        ("slow-headers-refused", at(manager, "request_headers_timeout")),
        ("slow-requests-refused", at(manager, "request_timeout")),
        ("idle-streams-closed", at(manager, "stream_idle_timeout")),
    ):
        bounded = seconds(value) < float("inf")
        found.expect(bounded, property_, f"{name}: no limit", "set a time limit")
    for property_, value in (
        ("headers-bounded", at(common, "max_headers_count")),
        ("headers-bounded", at(manager, "max_request_headers_kb")),
        ("streams-bounded", at(manager, "http2_protocol_options", "max_concurrent_streams")),
    ):
        found.expect(isinstance(value, int) and value > 0, property_, f"{name}: no limit")


def _check_stripping(found: Findings, name: str, manager: Config) -> None:
    filters = http_filters(manager)
    prefixes: tuple[str, ...] = ()
    if filters and filters[0][0] == "header_mutation":
        mutations = items(filters[0][1], "mutations", "request_mutations")
        matchers = [at(m, "remove_on_match", "key_matcher", "prefix") for m in mutations]
        prefixes = tuple(m for m in matchers if isinstance(m, str) and m)
    wanted = _STRIPPED_OUTSIDE if name == "egress" else _STRIPPED
    missing = [header for header in wanted if not header.startswith(prefixes)]
    found.expect(
        not missing,
        "identity-headers-stripped",
        f"{name}: {', '.join(missing)} pass through",
        "the first HTTP filter must remove them",
    )
    found.expect(
        filters and filters[-1][0] == "router", "router-last", f"{name}: the router is not last"
    )
    found.expect(
        str(at(manager, "forward_client_cert_details")).startswith("SANITIZE"),
        "client-certificate-header-sanitized",
        f"{name}: x-forwarded-client-cert is believed",
        "SANITIZE or SANITIZE_SET",
    )


def _check_last_route(found: Findings, name: str, manager: Config) -> None:
    last = (routes(manager) or [{}])[-1]
    found.expect(
        at(last, "match") == {"prefix": "/"} and "direct_response" in last,
        "rest-refused",
        f"{name}: what no route takes is not refused",
        "the last route must be a direct response",
    )
    retries = [at(route, "route", "retry_policy", "retry_on") for route in routes(manager)]
    allowed = {None} if name in ("egress", "inbound") else {None, "connect-failure,refused-stream"}
    found.expect(
        set(retries) <= allowed,
        "nothing-done-twice",
        f"{name}: a call that may have been executed is sent again",
        "retry on connect-failure and refused-stream only",
    )
    for route in routes(manager):
        if "route" in route:
            bounded = seconds(at(route, "route", "timeout")) < float("inf")
            found.expect(bounded, "calls-bounded", f"{name}: a route has no timeout")
