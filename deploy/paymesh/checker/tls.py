"""Properties of TLS contexts."""

from __future__ import annotations

from paymesh.checker.facts import Facts
from paymesh.checker.finding import Findings
from paymesh.checker.walk import Config, at, items, sans


def check_callee_side(found: Findings, facts: Facts, workload: str, chain: Config) -> None:
    """The inbound side of mutual TLS."""
    context = _context(chain, "DownstreamTlsContext")
    found.expect(
        context is not None,
        "inbound-tls",
        "a filter chain of the inbound listener has no TLS",
        "every chain of the inbound listener needs a DownstreamTlsContext",
    )
    if context is None:
        return
    found.equal(
        "client-certificate-required",
        at(context, "require_client_certificate"),
        expected=True,
        mend="set require_client_certificate",
    )
    _check_no_resumption(found, context)
    found.equal(
        "callers-allow-list",
        sans(context, "URI"),
        {facts.spiffe_id(caller) for caller in facts.callers(workload)},
        "the SPIFFE IDs accepted must be those of the callers in the grants",
    )
    check_mesh_context(found, facts, workload, context)


def check_caller_side(
    found: Findings, facts: Facts, workload: str, callee: str, cluster: Config
) -> None:
    """The outbound side of mutual TLS."""
    context = _context(cluster, "UpstreamTlsContext")
    found.expect(context is not None, "callee-tls", f"cluster {callee} has no TLS")
    if context is None:
        return
    found.equal(
        "callee-identity",
        sans(context, "URI"),
        {facts.spiffe_id(callee)},
        f"cluster {callee} must accept that callee's SPIFFE ID and no other",
    )
    found.equal("callee-sni", at(context, "sni"), facts.server_name(callee))
    found.equal("session-resumption-off", at(context, "max_session_keys"), 0)
    check_mesh_context(found, facts, workload, context)


def check_mesh_context(found: Findings, facts: Facts, workload: str, context: Config) -> None:
    """What both sides of mutual TLS have in common."""
    common = at(context, "common_tls_context") or {}
    check_tls_1_3(found, common)
    found.equal("alpn-h2-only", at(common, "alpn_protocols"), ["h2"])
    secrets = items(common, "tls_certificate_sds_secret_configs")
    found.equal("own-svid", [at(s, "name") for s in secrets], [facts.spiffe_id(workload)])
    found.expect(
        not at(common, "tls_certificates"), "own-svid", "a certificate that SPIRE did not issue"
    )
    bundle = at(common, "combined_validation_context", "validation_context_sds_secret_config")
    found.equal("trust-bundle", at(bundle, "name"), facts.bundle)
    for secret in [*secrets, bundle]:
        services = items(secret, "sds_config", "api_config_source", "grpc_services")
        found.equal(
            "secrets-from-spire",
            [at(service, "envoy_grpc", "cluster_name") for service in services],
            ["spire"],
        )


def check_public_side(found: Findings, chain: Config) -> None:
    """The gateway's side towards end users."""
    context = _context(chain, "DownstreamTlsContext")
    found.expect(context is not None, "public-tls", "the public listener has no TLS")
    if context is None:
        return
    check_tls_1_3(found, at(context, "common_tls_context") or {})
    _check_no_resumption(found, context)


def check_external_side(found: Findings, host: str, cluster: Config) -> None:
    """Towards a host outside the mesh."""
    context = _context(cluster, "UpstreamTlsContext")
    found.expect(context is not None, "external-tls", f"{host} is called without TLS")
    if context is None:
        return
    found.equal("external-identity", sans(context, "DNS"), {host})
    found.equal("external-sni", at(context, "sni"), host)
    found.expect(
        at(context, "common_tls_context", "validation_context", "trusted_ca"),
        "external-trust",
        f"the certificate of {host} is not verified",
        "set trusted_ca",
    )
    oldest = at(context, "common_tls_context", "tls_params", "tls_minimum_protocol_version")
    found.expect(oldest in ("TLSv1_2", "TLSv1_3"), "external-tls-version", f"{oldest} at least")


def check_tls_1_3(found: Findings, common: Config) -> None:
    """Both bounds: with one of them only, Envoy's client side offers nothing."""
    params = at(common, "tls_params")
    bounds = (
        at(params, "tls_minimum_protocol_version"),
        at(params, "tls_maximum_protocol_version"),
    )
    found.equal("tls-1.3-only", bounds, ("TLSv1_3", "TLSv1_3"))


def _check_no_resumption(found: Findings, context: Config) -> None:
    off = (
        at(context, "disable_stateless_session_resumption"),
        at(context, "disable_stateful_session_resumption"),
    )
    found.expect(
        off == (True, True) and not at(context, "session_ticket_keys"),
        "session-resumption-off",
        "a resumed session outlives the identity it began with",
        "disable stateless and stateful session resumption",
    )


def _context(owner: Config, kind: str) -> Config | None:
    typed = at(owner, "transport_socket", "typed_config")
    if at(owner, "transport_socket", "name") != "envoy.transport_sockets.tls":
        return None
    if not isinstance(typed, dict) or not str(typed.get("@type")).endswith("." + kind):
        return None
    return typed
