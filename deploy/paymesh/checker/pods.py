"""Properties of what a pod's Envoy has and this machine's has not; the rest is checked alike.

Says no word of what is the same: `as_here` gives the configuration back as it is on one
machine, for the checks of that. What a pod may not have, or lacks, is left to be found there.
"""

from __future__ import annotations

import copy

from paymesh.checker.facts import Facts
from paymesh.checker.finding import Findings
from paymesh.checker.walk import (
    Config,
    at,
    blocks,
    clusters,
    http_filters,
    items,
    listeners,
    managers,
    routes,
    seconds,
)

_PROBE = "probe"
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 — a pod's own
# No address: what is not as in a pod must not look as if it were as on one machine.
_NOWHERE = ""
_TLS = "/etc/paymesh/tls"
_CERTIFICATE = "/etc/paymesh/envoy/tls.yaml"
_FILES = {
    "gateway": {
        "/etc/paymesh/trust/jwks.json",
        "/etc/paymesh/descriptors/descriptors.binpb",
    },
    "service": {"/etc/paymesh/trust/providers-ca.pem"},
}
_LIVE, _READY, _APP = "/live", "/ready", "/app"


def as_here(
    found: Findings, facts: Facts, workload: str, config: Config, certificate: Config
) -> Config:
    """Checks what is a pod's alone; returns a copy that has it as on one machine.

    Args:
        found: takes what does not hold.
        facts: the sources.
        workload: whose configuration it is.
        config: of a pod.
        certificate: the file beside it that says where the gateway's certificate is.
    """
    changed = copy.deepcopy(config)
    _check_files(found, facts, workload, changed)
    if facts.kind(workload) == "gateway":
        _check_certificate(found, changed, certificate)
    _check_probe(found, facts, workload, changed)
    for listener in listeners(changed).values():
        socket = at(listener, "address", "socket_address")
        if socket:
            here = facts.mesh["local"]["address"]
            there = at(socket, "address")
            socket["address"] = {_EVERY_ADDRESS: here, here: _NOWHERE}.get(there, there)
    for name, cluster in clusters(changed).items():
        _undo_cluster(found, facts, name, cluster)
    return changed


def _check_files(found: Findings, facts: Facts, workload: str, config: Config) -> None:
    named = {
        str(block[key])
        for block in blocks(config)
        for key in ("filename", "proto_descriptor")
        if key in block
    }
    others = named - _FILES[facts.kind(workload)]
    found.expect(not others, "mounted-files", f"{', '.join(sorted(others))} is not mounted")


def _check_certificate(found: Findings, config: Config, certificate: Config) -> None:
    """A certificate that stands in a listener is read once, and would expire there."""
    wanted = {
        "certificate_chain": {"filename": f"{_TLS}/tls.crt"},
        "private_key": {"filename": f"{_TLS}/tls.key"},
        "watched_directory": {"path": _TLS},
    }
    resources = items(certificate, "resources")
    for chain in items(listeners(config).get("public", {}), "filter_chains"):
        common = at(chain, "transport_socket", "typed_config", "common_tls_context")
        if common is None:
            continue
        secrets = items(common, "tls_certificate_sds_secret_configs")
        found.expect(
            not at(common, "tls_certificates")
            and [at(s, "sds_config", "path_config_source", "path") for s in secrets]
            == [_CERTIFICATE]
            and [at(s, "sds_config", "initial_fetch_timeout") for s in secrets] == ["0s"]
            and [at(r, "name") for r in resources] == [at(s, "name") for s in secrets]
            and [at(r, "tls_certificate") for r in resources] == [wanted],
            "certificate-renewed",
            "a renewed certificate is not served, or the gateway serves without one",
            f"take it from {_CERTIFICATE}, which watches {_TLS}",
        )


def _check_probe(found: Findings, facts: Facts, workload: str, config: Config) -> None:
    """Takes the listener out: it is the kubelet's, and answers by itself."""
    present = items(config, "static_resources", "listeners")
    probes = [listener for listener in present if at(listener, "name") == _PROBE]
    port = facts.mesh["kubernetes"]["ports"]["probe"]
    found.equal(
        "probe-address",
        [at(probe, "address", "socket_address") for probe in probes],
        [{"address": _EVERY_ADDRESS, "port_value": port}],
    )
    service = facts.kind(workload) == "service"
    wanted: dict[str, set[str]] = {_LIVE: set(), _READY: {"app", "authz"} if service else set()}
    if service:
        wanted[_APP] = {"app"}
    for probe in probes:
        present.remove(probe)
        chains = items(probe, "filter_chains")
        http = managers(probe)
        limits = [at(f, "typed_config", "max_connections") for f in items(chains, 0, "filters")]
        found.expect(
            len(chains) == len(http) == 1
            and "default_filter_chain" not in probe
            and at(probe, "per_connection_buffer_limit_bytes")
            and limits
            and limits[0],
            "probe-bounded",
            "anybody may fill the kubelet's door",
        )
        for manager in http:
            _check_probe_manager(found, manager, wanted)


def _check_probe_manager(found: Findings, manager: Config, wanted: dict[str, set[str]]) -> None:
    filters = http_filters(manager)
    checks = [check for name, check in filters if name.startswith("health_check.")]
    paths = {
        (at(header, "string_match", "exact"), frozenset(_all_healthy(check)))
        for check in checks
        for header in items(check, "headers")
        if at(header, "name") == ":path"
    }
    found.equal(
        "probe-says-what-it-is-asked",
        paths,
        {(path, frozenset(names)) for path, names in wanted.items()},
        "each path fails exactly when what it stands for is not healthy",
    )
    found.expect(
        len(filters) == len(checks) + 1
        and filters[-1][0] == "router"
        and len(checks) == len(wanted)
        and all(at(check, "pass_through_mode") is False for check in checks)
        and routes(manager)
        and all("direct_response" in route for route in routes(manager)),
        "probe-leads-nowhere",
        "something but an answer to the kubelet is behind its door",
        "health checks that pass nothing through, and a direct response for the rest",
    )
    common = at(manager, "common_http_protocol_options")
    times = [at(common, name) for name in ("idle_timeout", "max_connection_duration")]
    times += [at(manager, name) for name in ("request_headers_timeout", "request_timeout")]
    times.append(at(manager, "stream_idle_timeout"))
    found.expect(
        all(seconds(time) < float("inf") for time in times),
        "probe-bounded",
        "a connection to the kubelet's door may stay for ever",
        "set its time limits",
    )


def _all_healthy(check: Config) -> set[str]:
    """The clusters that must be healthy altogether for a 200."""
    healthy = at(check, "cluster_min_healthy_percentages") or {}
    return {name if at(share, "value") == 100 else "" for name, share in healthy.items()}  # noqa: PLR2004 — per cent


def _undo_cluster(found: Findings, facts: Facts, name: str, cluster: Config) -> None:
    if name in ("app", "authz"):
        checks = cluster.pop("health_checks", [])
        found.equal(
            "local-health-asked",
            (name, [at(check, "grpc_health_check") for check in checks]),
            (name, [{}]),
            "probes are answered by it",
        )
        return
    mesh = facts.mesh
    callee, external = mesh["workloads"].get(name), mesh["external"].get(name)
    if not callee and not external:
        return
    discovery = at(cluster, "cluster_type", "typed_config") or {}
    found.expect(
        at(cluster, "cluster_type", "name") == "envoy.cluster.dns"
        and not at(cluster, "type")
        and at(discovery, "dns_lookup_family") == "V4_ONLY"
        and (not callee or at(cluster, "ignore_health_on_host_removal") is True),
        "pods-by-name",
        f"cluster {name} keeps addresses of pods that are gone",
        "an envoy.cluster.dns with V4_ONLY, which forgets a callee's pods at once",
    )
    # With the last dot no search list is tried.
    there = f"{name}.{mesh['namespace']}.svc.{mesh['kubernetes']['cluster_domain']}."
    outer = callee["port"] if callee else mesh["kubernetes"]["ports"]["provider"]
    inner = callee["port"] if callee else mesh["local"]["ports"][external["port_name"]]
    for locality in items(cluster, "load_assignment", "endpoints"):
        for endpoint in items(locality, "lb_endpoints"):
            socket = at(endpoint, "endpoint", "address", "socket_address")
            right = socket == {"address": there, "port_value": outer}
            if socket:
                host = mesh["local"]["address"] if right else _NOWHERE
                socket.update(address=host, port_value=inner)
