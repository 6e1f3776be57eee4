"""What a pod changes in a committed Envoy configuration: where things are, and the kubelet's door.

The filter chains, TLS contexts, routes and limits of `envoy/<workload>.yaml`
stay as they are; `envoy/kubernetes/<workload>.yaml` differs from it by

- addresses: listeners on every address of the pod, callees and providers by name;
- files: mounted ones, by absolute path; the gateway's certificate through a file of
  its own (`certificate`), so that a renewed one is served without a restart;
- health: checks of the app and the policy decision point, and the `probe`
  listener that tells the kubelet of them, because neither has a port to ask.
"""

from __future__ import annotations

import copy
from typing import Any

from paymesh.mesh import Mesh
from paymesh.render.blocks import BUFFER_BYTES, Block, endpoint, extension, seconds, tcp

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 — a pod's own addresses: NetworkPolicies say who reaches them

# Paths that the kubelet may ask on the port `probe`.
LIVE, READY, APP = "/live", "/ready", "/app"

# A Secret's mount: the kubelet renews it by a rename in this directory.
TLS_DIR = "/etc/paymesh/tls"
# Beside envoy.yaml: says where the certificate and its key are.
CERTIFICATE_FILE = "tls.yaml"
_CERTIFICATE = "public"

# Names in the committed file → where the pod mounts the file.
FILES = {
    "tls.crt": f"{TLS_DIR}/tls.crt",
    "tls.key": f"{TLS_DIR}/tls.key",
    "jwks.json": "/etc/paymesh/trust/jwks.json",
    "external-ca.pem": "/etc/paymesh/trust/providers-ca.pem",
    "descriptors.binpb": "/etc/paymesh/descriptors/descriptors.binpb",
}
_FILE_KEYS = ("filename", "proto_descriptor")

# In sum below the time that an ending pod still serves (`drain_seconds`):
# nobody goes to a pod that has stopped listening.
CALLEE_REFRESH_SECONDS = 2

_LOCAL = ("app", "authz")
_PROBE_CONNECTIONS = 32
_PROBE_TIMEOUT_SECONDS = 5


def envoy(config: Block, mesh: Mesh) -> Block:
    """The same configuration for a pod of the workload.

    Args:
        config: as rendered for this machine with a port offset of 0.
        mesh: namespaces, domain and ports of the cluster.

    Raises:
        ValueError: the configuration names a file that a pod does not mount.
    """
    changed = copy.deepcopy(config)
    _move_certificate(changed)
    _move_files(changed)
    resources = changed["static_resources"]
    for listener in resources["listeners"]:
        socket = listener["address"].get("socket_address")
        if socket is not None:
            socket["address"] = ANY_ADDRESS
    for cluster in resources["clusters"]:
        _move_cluster(cluster, mesh)
    names = {cluster["name"] for cluster in resources["clusters"]}
    local = [name for name in _LOCAL if name in names]
    resources["listeners"].append(_probe(mesh, local))
    return changed


def certificate() -> Block:
    """What Envoy reads as `CERTIFICATE_FILE`: the gateway's certificate, looked at again.

    Envoy takes this from no listener that stands in its file: there a certificate is read once.
    """
    return {
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                "name": _CERTIFICATE,
                "tls_certificate": {
                    "certificate_chain": {"filename": FILES["tls.crt"]},
                    "private_key": {"filename": FILES["tls.key"]},
                    "watched_directory": {"path": TLS_DIR},
                },
            }
        ]
    }


def _move_certificate(value: Any) -> None:
    if isinstance(value, dict):
        if value.pop("tls_certificates", None):
            source = {"path": f"/etc/paymesh/envoy/{CERTIFICATE_FILE}"}
            value["tls_certificate_sds_secret_configs"] = [
                {
                    "name": _CERTIFICATE,
                    "sds_config": {
                        "resource_api_version": "V3",
                        # As for identities: without a certificate the pod does not get ready.
                        "initial_fetch_timeout": "0s",
                        "path_config_source": source,
                    },
                }
            ]
        for child in value.values():
            _move_certificate(child)
    elif isinstance(value, list):
        for child in value:
            _move_certificate(child)


def _move_files(value: Any) -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            if key in _FILE_KEYS:
                if child not in FILES:
                    raise ValueError(f"{child}: say in paymesh.render.cluster where a pod has it")
                value[key] = FILES[child]
            else:
                _move_files(child)
    elif isinstance(value, list):
        for child in value:
            _move_files(child)


def _move_cluster(cluster: Block, mesh: Mesh) -> None:
    name = cluster["name"]
    if name in _LOCAL:
        cluster["health_checks"] = [_local_health_check()]
    elif name in mesh.workloads:
        # A headless Service: every ready pod's address, without kube-proxy's choice.
        _by_name(
            cluster,
            mesh,
            mesh.workloads[name].port or 0,
            dns_refresh_rate=seconds(CALLEE_REFRESH_SECONDS),
        )
        # A pod that its Service no longer names has ended or is about to.
        cluster["ignore_health_on_host_removal"] = True
    elif name in mesh.external:
        # One host behind addresses that change: connections are kept over that.
        _by_name(
            cluster,
            mesh,
            mesh.kubernetes.ports["provider"],
            respect_dns_ttl=True,
            all_addresses_in_single_endpoint=True,
        )


def _by_name(cluster: Block, mesh: Mesh, port: int, **discovery: Any) -> None:
    # With the last dot no search list is tried: one question, and no other name's answer.
    name = f"{mesh.cluster_name(cluster['name'])}."
    del cluster["type"]
    cluster["cluster_type"] = extension(
        "envoy.cluster.dns",
        "envoy.extensions.clusters.dns.v3.DnsCluster",
        dns_lookup_family="V4_ONLY",
        **discovery,
    )
    cluster["load_assignment"] = endpoint(cluster["name"], tcp(name, port))


def _local_health_check() -> Block:
    """Often, because it is how a pod becomes ready, and cheap, because it is a Unix socket.

    With a single endpoint Envoy's panic threshold sends calls to it even when
    it is not healthy: this decides about probes and not about calls.
    """
    return {
        "timeout": seconds(1),
        "interval": seconds(2),
        # Without calls too: a pod gets its first one only when it is ready.
        "no_traffic_interval": seconds(0.5),
        "no_traffic_healthy_interval": seconds(2),
        "unhealthy_interval": seconds(0.5),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "grpc_health_check": {},
    }


def _probe(mesh: Mesh, local: list[str]) -> Block:
    """The kubelet's listener: a few paths, no route to anything, limits of its own.

    All of them fail after `/healthcheck/fail` on the administration socket: the
    kubelet asks an ending pod for readiness only, and an Envoy that was told
    to drain in a pod that does not end is started again.
    """
    checks = [_health_check(LIVE, []), _health_check(READY, local)]
    if "app" in local:
        checks.append(_health_check(APP, ["app"]))
    limit = extension(
        "envoy.filters.network.connection_limit",
        "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        stat_prefix="probe",
        max_connections=_PROBE_CONNECTIONS,
    )
    return {
        "name": "probe",
        "address": tcp(ANY_ADDRESS, mesh.kubernetes.ports["probe"]),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "tcp_backlog_size": _PROBE_CONNECTIONS,
        # A full Envoy sheds calls; it must not be taken for a dead one and ended.
        "ignore_global_conn_limit": True,
        "bypass_overload_manager": True,
        "filter_chains": [{"filters": [limit, _manager(checks)]}],
    }


def _manager(checks: list[Block]) -> Block:
    nothing: Block = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="probe",
        codec_type="HTTP1",
        common_http_protocol_options={
            "idle_timeout": seconds(_PROBE_TIMEOUT_SECONDS),
            "max_connection_duration": seconds(_PROBE_TIMEOUT_SECONDS),
            "max_headers_count": 16,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        max_request_headers_kb=4,
        request_headers_timeout=seconds(_PROBE_TIMEOUT_SECONDS),
        request_timeout=seconds(_PROBE_TIMEOUT_SECONDS),
        stream_idle_timeout=seconds(_PROBE_TIMEOUT_SECONDS),
        http_filters=[
            *checks,
            extension(
                "envoy.filters.http.router",
                "envoy.extensions.filters.http.router.v3.Router",
                suppress_envoy_headers=True,
            ),
        ],
        route_config={
            "name": "probe",
            "virtual_hosts": [{"name": "probe", "domains": ["*"], "routes": [nothing]}],
        },
    )


def _health_check(path: str, clusters: list[str]) -> Block:
    """Answers GET of one path: 200 while every one of the clusters is healthy, else 503."""
    fields: Block = {
        "pass_through_mode": False,
        "headers": [
            {"name": ":method", "string_match": {"exact": "GET"}},
            {"name": ":path", "string_match": {"exact": path}},
        ],
    }
    if clusters:
        fields["cluster_min_healthy_percentages"] = {name: {"value": 100} for name in clusters}
    return extension(
        f"envoy.filters.http.health_check.{path.removeprefix('/')}",
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        **fields,
    )
