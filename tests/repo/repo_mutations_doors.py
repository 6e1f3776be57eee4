"""Breaks what holds of every listener, and TLS."""

from __future__ import annotations

import repo_config as part
from repo_mutation import (
    ANOTHER_ID,
    GATEWAY,
    LEDGER,
    PAYMENTS,
    accept_any,
    add_uri,
    app_route,
    inbound,
    mutation,
    protocol_options,
    put,
    tls_params,
)

DOORS = [
    mutation(
        LEDGER,
        "admin-on-unix-socket",
        lambda c: put(
            c["admin"], address={"socket_address": {"address": "127.0.0.1", "port_value": 9901}}
        ),
    ),
    mutation(
        LEDGER, "admin-on-unix-socket", lambda c: put(c["admin"]["address"]["pipe"], mode=0o666)
    ),
    mutation(LEDGER, "overload-manager", lambda c: c.pop("overload_manager")),
    mutation(
        LEDGER, "configuration-static", lambda c: put(c, dynamic_resources={"lds_config": {}})
    ),
    mutation(LEDGER, "listeners-expected", lambda c: c["static_resources"]["listeners"].pop(0)),
    mutation(
        LEDGER,
        "unix-socket-owner-only",
        lambda c: put(part.listener(c, "outbound")["address"]["pipe"], mode=0o666),
    ),
    mutation(
        LEDGER,
        "no-wildcard-address listener-address",
        lambda c: put(part.listener(c, "inbound")["address"]["socket_address"], address="::"),
    ),
    mutation(
        LEDGER,
        "listener-address",
        lambda c: put(part.listener(c, "inbound")["address"]["socket_address"], port_value=1),
    ),
    mutation(
        LEDGER,
        "buffers-bounded",
        lambda c: part.listener(c, "inbound").pop("per_connection_buffer_limit_bytes"),
    ),
    mutation(
        LEDGER,
        "one-filter-chain inbound-tls alpn-h2-only",
        lambda c: part.listener(c, "inbound")["filter_chains"].append({"filters": []}),
    ),
    mutation(
        LEDGER,
        "one-filter-chain inbound-tls alpn-h2-only",
        lambda c: put(part.listener(c, "inbound"), default_filter_chain={"filters": []}),
    ),
    mutation(LEDGER, "connections-bounded", lambda c: inbound(c)["filters"].pop(0)),
    mutation(
        LEDGER,
        "escaped-slashes-rejected",
        lambda c: put(
            part.manager(c, "inbound"), path_with_escaped_slashes_action="KEEP_UNCHANGED"
        ),
    ),
    mutation(
        LEDGER,
        "paths-not-rewritten",
        lambda c: put(part.manager(c, "inbound"), merge_slashes=True),
    ),
    mutation(
        LEDGER,
        "underscores-rejected",
        lambda c: protocol_options(c).pop("headers_with_underscores_action"),
    ),
    mutation(
        LEDGER,
        "connection-life-bounded",
        lambda c: protocol_options(c).pop("max_connection_duration"),
    ),
    mutation(
        LEDGER,
        "connection-life-bounded",
        lambda c: put(protocol_options(c), max_connection_duration="3600s"),
    ),
    mutation(LEDGER, "idle-connections-closed", lambda c: protocol_options(c).pop("idle_timeout")),
    mutation(
        LEDGER,
        "slow-headers-refused",
        lambda c: part.manager(c, "inbound").pop("request_headers_timeout"),
    ),
    mutation(
        LEDGER,
        "slow-requests-refused",
        lambda c: put(part.manager(c, "inbound"), request_timeout="0s"),
    ),
    mutation(
        LEDGER,
        "idle-streams-closed",
        lambda c: part.manager(c, "inbound").pop("stream_idle_timeout"),
    ),
    mutation(LEDGER, "headers-bounded", lambda c: protocol_options(c).pop("max_headers_count")),
    mutation(
        LEDGER,
        "streams-bounded",
        lambda c: part.manager(c, "inbound").pop("http2_protocol_options"),
    ),
    mutation(
        LEDGER,
        "identity-headers-stripped",
        lambda c: part.http_filter(c, "inbound", "header_mutation")["mutations"][
            "request_mutations"
        ].pop(0),
    ),
    mutation(
        LEDGER,
        "router-last",
        lambda c: (
            part.manager(c, "outbound")["http_filters"].reverse()
            or part.manager(c, "outbound")["http_filters"].insert(
                0, part.manager(c, "outbound")["http_filters"][-1]
            )
        ),
    ),
    mutation(
        LEDGER,
        "client-certificate-header-sanitized",
        lambda c: put(
            part.manager(c, "outbound"), forward_client_cert_details="ALWAYS_FORWARD_ONLY"
        ),
    ),
    mutation(LEDGER, "rest-refused", lambda c: part.routes(c, "inbound").pop()),
    mutation(
        PAYMENTS,
        "nothing-done-twice",
        lambda c: put(part.routes(c, "outbound")[0]["route"]["retry_policy"], retry_on="5xx"),
    ),
    mutation(
        PAYMENTS,
        "nothing-done-twice",
        lambda c: put(
            part.routes(c, "egress")[0]["route"], retry_policy={"retry_on": "connect-failure"}
        ),
    ),
    mutation(LEDGER, "calls-bounded", lambda c: app_route(c)["route"].pop("timeout")),
]

TLS = [
    mutation(LEDGER, "inbound-tls", lambda c: inbound(c).pop("transport_socket")),
    mutation(
        LEDGER,
        "client-certificate-required",
        lambda c: put(part.context(inbound(c)), require_client_certificate=False),
    ),
    mutation(
        LEDGER,
        "session-resumption-off",
        lambda c: part.context(inbound(c)).pop("disable_stateless_session_resumption"),
    ),
    mutation(
        PAYMENTS,
        "session-resumption-off",
        lambda c: part.context(part.cluster(c, "ledger")).pop("max_session_keys"),
    ),
    mutation(LEDGER, "callers-allow-list", lambda c: add_uri(inbound(c), ANOTHER_ID)),
    mutation(LEDGER, "callers-allow-list", lambda c: part.sans(inbound(c)).pop()),
    mutation(LEDGER, "callers-allow-list", lambda c: part.sans(inbound(c)).clear()),
    mutation(LEDGER, "callers-allow-list", lambda c: accept_any(inbound(c))),
    mutation(
        LEDGER, "tls-1.3-only", lambda c: tls_params(inbound(c)).pop("tls_minimum_protocol_version")
    ),
    mutation(
        PAYMENTS,
        "tls-1.3-only",
        lambda c: tls_params(part.cluster(c, "ledger")).pop("tls_maximum_protocol_version"),
    ),
    mutation(
        LEDGER,
        "alpn-h2-only",
        lambda c: part.common(inbound(c))["alpn_protocols"].append("http/1.1"),
    ),
    mutation(LEDGER, "alpn-h2-only", lambda c: inbound(c).pop("filter_chain_match")),
    mutation(
        LEDGER,
        "own-svid",
        lambda c: put(
            part.common(inbound(c))["tls_certificate_sds_secret_configs"][0], name=ANOTHER_ID
        ),
    ),
    mutation(
        LEDGER,
        "trust-bundle",
        lambda c: put(
            part.common(inbound(c))["combined_validation_context"][
                "validation_context_sds_secret_config"
            ],
            name="spiffe://other.test",
        ),
    ),
    mutation(
        LEDGER,
        "secrets-from-spire",
        lambda c: put(
            part.common(inbound(c))["tls_certificate_sds_secret_configs"][0],
            sds_config={"path_config_source": {"path": "/etc/svid.yaml"}},
        ),
    ),
    mutation(
        LEDGER,
        "spire-on-unix-socket",
        lambda c: put(part.cluster(c, "spire")["load_assignment"], endpoints=[]),
    ),
    mutation(PAYMENTS, "callee-tls", lambda c: part.cluster(c, "ledger").pop("transport_socket")),
    mutation(PAYMENTS, "callee-identity", lambda c: add_uri(part.cluster(c, "ledger"), ANOTHER_ID)),
    mutation(PAYMENTS, "callee-identity", lambda c: part.sans(part.cluster(c, "ledger")).clear()),
    mutation(PAYMENTS, "callee-sni", lambda c: part.context(part.cluster(c, "ledger")).pop("sni")),
    mutation(GATEWAY, "public-tls", lambda c: part.chain(c, "public").pop("transport_socket")),
    mutation(
        GATEWAY,
        "tls-1.3-only",
        lambda c: tls_params(part.chain(c, "public")).pop("tls_minimum_protocol_version"),
    ),
    mutation(
        PAYMENTS,
        "external-tls",
        lambda c: part.cluster(c, "card-processor").pop("transport_socket"),
    ),
    mutation(
        PAYMENTS,
        "external-identity",
        lambda c: part.sans(part.cluster(c, "card-processor")).clear(),
    ),
    mutation(
        PAYMENTS,
        "external-sni",
        lambda c: part.context(part.cluster(c, "card-processor")).pop("sni"),
    ),
    mutation(
        PAYMENTS,
        "external-trust",
        lambda c: part.common(part.cluster(c, "card-processor"))["validation_context"].pop(
            "trusted_ca"
        ),
    ),
    mutation(
        PAYMENTS,
        "external-tls-version",
        lambda c: put(
            tls_params(part.cluster(c, "card-processor")), tls_minimum_protocol_version="TLSv1_0"
        ),
    ),
]
