"""Breaks policy, the ways out of a workload, and the public listener."""

from __future__ import annotations

import repo_config as part
from repo_mutation import (
    EXT_AUTHZ,
    GATEWAY,
    LEDGER,
    PAYMENTS,
    add_cluster,
    app_route,
    ext_authz,
    http2_options,
    mutation,
    put,
    token_issuer,
    transcoder,
    user_tokens,
)

POLICY = [
    mutation(
        LEDGER, "policy-before-app", lambda c: part.manager(c, "inbound")["http_filters"].pop(1)
    ),
    mutation(
        LEDGER,
        "policy-before-app identity-headers-stripped server-fields-stripped",
        lambda c: part.manager(c, "inbound")["http_filters"].insert(
            0, part.manager(c, "inbound")["http_filters"].pop(1)
        ),
    ),
    mutation(
        LEDGER,
        "filters-enabled",
        lambda c: put(part.manager(c, "inbound")["http_filters"][1], disabled=True),
    ),
    mutation(LEDGER, "policy-fails-closed", lambda c: put(ext_authz(c), failure_mode_allow=True)),
    mutation(
        LEDGER,
        "policy-always-asked",
        lambda c: put(ext_authz(c), filter_enabled={"default_value": {"numerator": 50}}),
    ),
    mutation(LEDGER, "policy-error-status", lambda c: ext_authz(c).pop("status_on_error")),
    mutation(
        LEDGER,
        "policy-asked-locally",
        lambda c: put(ext_authz(c)["grpc_service"]["envoy_grpc"], cluster_name="elsewhere"),
    ),
    mutation(LEDGER, "policy-timeout", lambda c: ext_authz(c)["grpc_service"].pop("timeout")),
    mutation(LEDGER, "policy-timeout", lambda c: put(ext_authz(c)["grpc_service"], timeout="60s")),
    mutation(
        LEDGER,
        "policy-sees-body policy-sees-whole-body",
        lambda c: ext_authz(c).pop("with_request_body"),
    ),
    mutation(
        LEDGER, "policy-sees-body", lambda c: ext_authz(c)["with_request_body"].pop("pack_as_bytes")
    ),
    mutation(
        LEDGER,
        "policy-sees-whole-body",
        lambda c: put(ext_authz(c)["with_request_body"], allow_partial_message=True),
    ),
    mutation(
        LEDGER,
        "policy-headers-bounded",
        lambda c: ext_authz(c).pop("decoder_header_mutation_rules"),
    ),
    mutation(
        LEDGER,
        "policy-not-overridden",
        lambda c: put(app_route(c), typed_per_filter_config={EXT_AUTHZ: {"disabled": True}}),
    ),
    mutation(
        LEDGER,
        "policy-not-overridden",
        lambda c: put(
            app_route(c),
            typed_per_filter_config={
                EXT_AUTHZ: {"check_settings": {"disable_request_body_buffering": True}}
            },
        ),
    ),
    mutation(
        LEDGER,
        "policy-engine-failure-named",
        lambda c: part.manager(c, "inbound").pop("local_reply_config"),
    ),
    mutation(LEDGER, "http2-only", lambda c: put(part.manager(c, "inbound"), codec_type="AUTO")),
    mutation(
        LEDGER,
        "client-certificate-header-set",
        lambda c: put(part.manager(c, "inbound"), forward_client_cert_details="SANITIZE"),
    ),
    mutation(
        LEDGER,
        "app-on-unix-socket",
        lambda c: put(part.cluster(c, "app")["load_assignment"], endpoints=[]),
    ),
    mutation(
        LEDGER,
        "authz-on-unix-socket",
        lambda c: put(part.cluster(c, "authz")["load_assignment"], endpoints=[]),
    ),
    mutation(
        LEDGER,
        "routes-to-app routes-exact routes-complete",
        lambda c: part.routes(c, "inbound").insert(
            2, {"match": {"path": "/evil"}, "route": {"cluster": "elsewhere", "timeout": "1s"}}
        ),
    ),
    mutation(
        LEDGER,
        "routes-exact",
        lambda c: put(
            app_route(c)["match"], headers=[{"name": ":method", "string_match": {"exact": "POST"}}]
        ),
    ),
    mutation(LEDGER, "routes-complete", lambda c: part.routes(c, "inbound").pop(2)),
    mutation(
        LEDGER,
        "compression-refused deadlines-well-formed",
        lambda c: part.routes(c, "inbound").pop(0),
    ),
    mutation(LEDGER, "deadlines-well-formed", lambda c: part.routes(c, "inbound").pop(1)),
    mutation(
        LEDGER,
        "deadlines-well-formed",
        lambda c: part.routes(c, "inbound")[1]["match"]["headers"][0].pop("invert_match"),
    ),
    mutation(
        LEDGER,
        "server-fields-stripped",
        lambda c: part.http_filter(c, "inbound", "header_mutation")["mutations"][
            "request_mutations"
        ].pop(),
    ),
    mutation(
        LEDGER,
        "app-keeps-no-fields",
        lambda c: http2_options(part.cluster(c, "app")).pop("hpack_table_size"),
    ),
]


OUTSIDE = [
    mutation(PAYMENTS, "clusters-match-grants", add_cluster),
    mutation(
        PAYMENTS,
        "clusters-match-grants",
        lambda c: c["static_resources"]["clusters"].remove(part.cluster(c, "ledger")),
    ),
    mutation(PAYMENTS, "outbound-matches-grants", lambda c: part.routes(c, "outbound").pop(0)),
    mutation(
        PAYMENTS,
        "outbound-matches-grants",
        lambda c: put(part.routes(c, "outbound")[0]["match"], prefix="/"),
    ),
    mutation(
        PAYMENTS,
        "outbound-matches-grants",
        lambda c: put(part.routes(c, "outbound")[0]["route"], cluster="ledger"),
    ),
    mutation(
        GATEWAY,
        "health-of-the-named",
        lambda c: part.routes(c, "outbound")[0]["match"].pop("headers"),
    ),
    mutation(
        PAYMENTS,
        "egress-matches-mesh",
        lambda c: part.manager(c, "egress")["route_config"]["virtual_hosts"][0]["domains"].append(
            "*.test"
        ),
    ),
    mutation(
        PAYMENTS,
        "cluster-address",
        lambda c: put(part.cluster(c, "ledger")["load_assignment"], endpoints=[]),
    ),
    mutation(
        PAYMENTS, "connects-bounded", lambda c: part.cluster(c, "ledger").pop("connect_timeout")
    ),
    mutation(
        PAYMENTS, "circuit-breakers", lambda c: part.cluster(c, "ledger").pop("circuit_breakers")
    ),
    mutation(
        PAYMENTS,
        "listener-address",
        lambda c: put(part.listener(c, "egress")["address"]["pipe"], path="/tmp/egress.sock"),
    ),
]


PUBLIC = [
    mutation(
        GATEWAY,
        "nobody-internal",
        lambda c: put(part.manager(c, "public"), internal_address_config={"unix_sockets": False}),
    ),
    mutation(
        GATEWAY,
        "strangers-distrusted",
        lambda c: put(part.manager(c, "public"), use_remote_address=False),
    ),
    mutation(
        GATEWAY, "token-before-route", lambda c: part.manager(c, "public")["http_filters"].pop(1)
    ),
    mutation(GATEWAY, "one-token-issuer", lambda c: put(user_tokens(c)["providers"], other={})),
    mutation(GATEWAY, "token-issuer", lambda c: token_issuer(c).pop("issuer")),
    mutation(GATEWAY, "token-audience", lambda c: token_issuer(c).pop("audiences")),
    mutation(GATEWAY, "token-expires", lambda c: token_issuer(c).pop("require_expiration")),
    mutation(GATEWAY, "token-passed-on", lambda c: token_issuer(c).pop("forward")),
    mutation(
        GATEWAY, "token-in-header-only", lambda c: put(token_issuer(c), from_params=["token"])
    ),
    mutation(
        GATEWAY,
        "token-required",
        lambda c: user_tokens(c)["rules"].insert(0, {"match": {"prefix": "/public"}}),
    ),
    mutation(GATEWAY, "token-required", lambda c: put(user_tokens(c), bypass_cors_preflight=True)),
    mutation(
        GATEWAY, "json-matches-grants", lambda c: transcoder(c)["services"].append("evil.v1.Evil")
    ),
    mutation(GATEWAY, "json-strict", lambda c: transcoder(c).pop("request_validation_options")),
    mutation(GATEWAY, "json-bounded", lambda c: transcoder(c).pop("max_request_body_size")),
    mutation(
        GATEWAY, "routes-exact", lambda c: part.routes(c, "public")[2]["match"].pop("headers")
    ),
    mutation(GATEWAY, "public-matches-grants", lambda c: part.routes(c, "public").pop(2)),
]
