"""TLS contexts: SVIDs from the SPIRE agent inside the mesh, files at its edges."""

from __future__ import annotations

from paymesh.render.blocks import Block, Plan, any_, extension, seconds

_TLS = "envoy.extensions.transport_sockets.tls.v3."
_SPIRE_CLUSTER = "spire"

# Both ends: Envoy's client side stops at TLS 1.2 unless the maximum is set too.
_TLS_1_3 = {
    "tls_minimum_protocol_version": "TLSv1_3",
    "tls_maximum_protocol_version": "TLSv1_3",
}


def _secret(name: str) -> Block:
    return {
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            # Without an identity the listener does not serve: wait for ever.
            "initial_fetch_timeout": "0s",
            "api_config_source": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": _SPIRE_CLUSTER,
                            # An agent that comes back is found within a second.
                            "retry_policy": {
                                "retry_back_off": {
                                    "base_interval": seconds(0.1),
                                    "max_interval": seconds(1),
                                }
                            },
                        }
                    }
                ],
            },
        },
    }


def _mesh_context(plan: Plan, peers: list[str]) -> Block:
    """Own SVID, the trust domain's bundle, and exactly these workloads' ids.

    Raises:
        ValueError: no peers; Envoy would take an empty list for "anybody".
    """
    if not peers:
        raise ValueError(f"{plan.workload.name}: a TLS context needs at least one peer")
    return {
        "tls_params": dict(_TLS_1_3),
        "alpn_protocols": ["h2"],
        "tls_certificate_sds_secret_configs": [_secret(plan.mesh.spiffe_id(plan.workload.name))],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": {"exact": plan.mesh.spiffe_id(peer)}}
                    for peer in peers
                ]
            },
            "validation_context_sds_secret_config": _secret(f"spiffe://{plan.mesh.trust_domain}"),
        },
    }


def inbound(plan: Plan, callers: list[str]) -> Block:
    """The callee's side: only the granted callers' SVIDs are let in."""
    return extension(
        "envoy.transport_sockets.tls",
        _TLS + "DownstreamTlsContext",
        require_client_certificate=True,
        # A resumed session would outlive the SVID that it was opened with.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context=_mesh_context(plan, callers),
    )


def outbound(plan: Plan, callee: str) -> Block:
    """The caller's side: exactly the callee's SVID is accepted."""
    return extension(
        "envoy.transport_sockets.tls",
        _TLS + "UpstreamTlsContext",
        sni=plan.server_name(callee),
        max_session_keys=0,
        common_tls_context=_mesh_context(plan, [callee]),
    )


def public() -> Block:
    """The gateway's side towards end users: a certificate from files, no client certificate."""
    return extension(
        "envoy.transport_sockets.tls",
        _TLS + "DownstreamTlsContext",
        require_client_certificate=False,
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context={
            "tls_params": dict(_TLS_1_3),
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": "tls.crt"},
                    "private_key": {"filename": "tls.key"},
                }
            ],
        },
    )


def external(host: str) -> Block:
    """Towards a named host outside the mesh. TLS 1.2 is what some providers still speak."""
    return extension(
        "envoy.transport_sockets.tls",
        _TLS + "UpstreamTlsContext",
        sni=host,
        max_session_keys=0,
        common_tls_context={
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "alpn_protocols": ["http/1.1"],
            "validation_context": {
                "trusted_ca": {"filename": "external-ca.pem"},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}],
            },
        },
    )


def inspector() -> Block:
    """Reads ALPN before the filter chain is chosen, so that only TLS with h2 finds one."""
    return {
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": any_("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"),
    }
