"""HTTP filters, in the order in which a listener puts them."""

from __future__ import annotations

from paymesh.render.blocks import Block, Plan, any_, extension, seconds

# Only Envoy and the policy engine may say who somebody is.
IDENTITY_PREFIXES = (
    "x-paymesh-",
    "x-envoy-",
    "x-auth-request-",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-remote-",
    "x-spiffe-",
    "x-user-",
    "x-real-ip",
    "x-jwt-",
    "remote-user",
)
# What a gRPC server says and a caller does not, and whatever is coded: gRPC's own server answers
# what it cannot parse of these before anything of ours sees the call.
SERVERS_PREFIXES = (
    "grpc-status",
    "grpc-message",
    "grpc-internal-",
    "grpc-previous-rpc-",
    "grpc-retry-",
)
CODED_SUFFIXES = ("-bin",)
# What the outside need not know of the inside.
INTERNAL_PREFIXES = ("x-paymesh-", "x-envoy-", "x-forwarded-", "x-request-id")

EXT_AUTHZ = "envoy.filters.http.ext_authz"
GRPC_FRAME_HEADER_BYTES = 5


def strip_headers(prefixes: tuple[str, ...], suffixes: tuple[str, ...] = ()) -> Block:
    """Removes request headers by prefix and suffix."""
    matchers = [{"prefix": prefix} for prefix in prefixes]
    matchers += [{"suffix": suffix} for suffix in suffixes]
    return extension(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {"remove_on_match": {"key_matcher": matcher}} for matcher in matchers
            ]
        },
    )


def strip_callers() -> Block:
    """Of what a caller sent: who somebody is, and what is not a caller's to say."""
    return strip_headers((*IDENTITY_PREFIXES, *SERVERS_PREFIXES), CODED_SUFFIXES)


def ext_authz(plan: Plan) -> Block:
    """Asks the policy decision point about every request. No answer is a refusal."""
    limits = plan.mesh.limits
    return extension(
        EXT_AUTHZ,
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        grpc_service={
            "envoy_grpc": {"cluster_name": "authz"},
            "timeout": seconds(limits.authz_timeout_seconds),
        },
        failure_mode_allow=False,
        # A check that failed must not look like a denial.
        status_on_error={"code": "ServiceUnavailable"},
        with_request_body={
            "max_request_bytes": limits.max_message_bytes + GRPC_FRAME_HEADER_BYTES,
            "allow_partial_message": False,
            "pack_as_bytes": True,
        },
        include_peer_certificate=False,
        clear_route_cache=False,
        # The policy engine may tell the app about the caller and change nothing else.
        decoder_header_mutation_rules={
            "disallow_all": True,
            "allow_expression": {"regex": "x-paymesh-.*"},
        },
    )


def ext_authz_without_body() -> Block:
    """For RPCs whose request is a stream: there is no whole message to wait for."""
    return {
        EXT_AUTHZ: any_(
            "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            check_settings={"disable_request_body_buffering": True},
        )
    }


def local_rate_limit(per_second: int, burst: int) -> Block:
    """A token bucket for the whole listener, before anything costly happens."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return extension(
        "envoy.filters.http.local_ratelimit",
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="rate_limit",
        token_bucket={
            "max_tokens": burst,
            "tokens_per_fill": per_second,
            "fill_interval": seconds(1),
        },
        filter_enabled=always,
        filter_enforced=always,
    )


def user_tokens(plan: Plan) -> Block:
    """Verifies end users' tokens and passes them on: the callee's policy verifies them again."""
    users = plan.mesh.users
    return extension(
        "envoy.filters.http.jwt_authn",
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={
            "users": {
                "issuer": users.issuer,
                "audiences": [users.audience],
                "local_jwks": {"filename": "jwks.json"},
                "forward": True,
                # Named, because the default would also take a token from the query.
                "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
                "require_expiration": True,
                "clock_skew_seconds": 1,
            }
        },
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "users"}}],
    )


def transcoder(plan: Plan) -> Block:
    """JSON for end users, by the `google.api.http` options of the protos."""
    limit = plan.mesh.limits.max_message_bytes
    return extension(
        "envoy.filters.http.grpc_json_transcoder",
        "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor="descriptors.binpb",
        services=[callee.rpc_service for callee in plan.callees],
        convert_grpc_status=True,
        ignore_unknown_query_parameters=False,
        print_options={"always_print_primitive_fields": True},
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        max_request_body_size=limit,
    )
