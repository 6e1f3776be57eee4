"""The containers of a workload's pod: what runs, on which files, and who asks it how it is.

Everything that a container is started with stands here once: the admission
policy is rendered from it as well, and refuses a pod that starts anything else.
"""

from __future__ import annotations

from paymesh.mesh import Mesh, Workload
from paymesh.render.blocks import (
    ADMIN_SOCKET,
    APP_SOCKET,
    EGRESS_SOCKET,
    OUTBOUND_SOCKET,
)
from paymesh.render.envoy import ENVOY_ARGS
from paymesh.render.kubernetes.common import (
    ENVOY_IMAGE,
    PDP_IMAGE,
    SECURITY_CONTEXT,
    SERVICES_IMAGE,
    Object,
)

RUN_DIR = "/run/paymesh/workload"
# Beside RUN_DIR, so that the relative path in Envoy's committed file is right.
SPIRE_DIR = "/run/paymesh/spire-agent"
CONFIG_DIR = "/etc/paymesh"
SECRETS_DIR = f"{CONFIG_DIR}/secrets"
STATE_DIR = "/var/lib/paymesh"
TLS_SECRET = "gateway-tls"  # noqa: S105 — a name
TOKEN_DIGEST = "PAYMESH_PDP_TOKEN_SHA256"  # noqa: S105 — a name

_DRAIN_SECONDS = "10"
# Far above what the PDP needs (policies/pdp/README.md): a bound, not a setting.
_PDP_MEMORY = "64MiB"

# Milli-CPU and MiB that are asked for, and MiB that are not exceeded. No limit of CPU:
# throttling would make calls late that the node has time for.
_RESOURCES = {
    "app": (40, 96, 384),
    "envoy": (30, 64, 256),
    "pdp": (20, 48, 192),
    "idle": (5, 24, 128),
}


def init_containers(mesh: Mesh, workload: Workload) -> list[Object]:
    """Native sidecars: ready one after the other before the app, stopped in reverse after it.

    The PDP comes first and goes last, so that Envoy always has somebody to ask.
    """
    if workload.kind == "job":
        return []
    if workload.kind == "gateway":
        return [_envoy(mesh, workload)]
    return [_pdp(mesh, workload), _envoy(mesh, workload)]


def app(mesh: Mesh, workload: Workload) -> Object:
    """The container that the pod is there for."""
    if workload.kind == "job":
        return _job(mesh, workload)
    if workload.kind == "gateway":
        return _drain(mesh)
    return _service(mesh, workload)


def _service(mesh: Mesh, workload: Workload) -> Object:
    environment = {
        "PAYMESH_WORKLOAD": workload.name,
        "PAYMESH_TRUST_DOMAIN": mesh.trust_domain,
        "PAYMESH_APP_SOCKET": APP_SOCKET,
        "PAYMESH_OUTBOUND_SOCKET": OUTBOUND_SOCKET,
        "PAYMESH_PDP_URL": f"http://127.0.0.1:{workload.pdp_port}",
        "PAYMESH_PDP_TOKEN_FILE": f"{SECRETS_DIR}/pdp-token",
        "PAYMESH_MAX_MESSAGE_BYTES": str(mesh.limits.max_message_bytes),
        **_draining(mesh),
    }
    if workload.database:
        environment["PAYMESH_DSN_FILE"] = f"{SECRETS_DIR}/dsn"
    if workload.egress:
        environment["PAYMESH_EGRESS_SOCKET"] = EGRESS_SOCKET
        environment["PAYMESH_PROVIDER_KEY_FILE"] = f"{SECRETS_DIR}/provider-key"
    return {
        **_container("app", SERVICES_IMAGE, "app"),
        "command": ["python", "-m", workload.module],
        "workingDir": RUN_DIR,
        "env": _env(environment),
        # Through Envoy: the app has no port.
        "startupProbe": _probe(mesh.kubernetes.ports["probe"], "/app", 1, 60),
        "livenessProbe": _probe(mesh.kubernetes.ports["probe"], "/app", 5, 6),
        "volumeMounts": [
            _mount("run", RUN_DIR),
            _mount("app-secrets", SECRETS_DIR, read_only=True),
            _mount("trust", f"{CONFIG_DIR}/trust", read_only=True),
        ],
    }


def _drain(mesh: Mesh) -> Object:
    """Idle until the pod is told to end; then drains Envoy, which ends after it."""
    return {
        **_container("app", SERVICES_IMAGE, "idle"),
        "command": ["python", "-m", "meshkit.drain"],
        "workingDir": RUN_DIR,
        "env": _env(_draining(mesh)),
        "volumeMounts": [_mount("run", RUN_DIR)],
    }


def _job(mesh: Mesh, workload: Workload) -> Object:
    ledger = mesh.workloads["ledger"]
    return {
        **_container("app", SERVICES_IMAGE, "app"),
        "command": ["python", "-m", workload.module],
        "args": ["--legal-entity", "acme", "-o", "json"],
        "workingDir": "/",
        "env": _env(
            {
                "PAYMESH_LEDGER_ADDRESS": f"{mesh.cluster_name(ledger.name)}:{ledger.port}",
                "SPIFFE_ENDPOINT_SOCKET": f"unix://{SPIRE_DIR}/api.sock",
            }
        ),
        "volumeMounts": [_mount("spire", SPIRE_DIR, read_only=True)],
    }


def _envoy(mesh: Mesh, workload: Workload) -> Object:
    port = mesh.kubernetes.ports["probe"]
    arguments = list(ENVOY_ARGS)
    arguments[arguments.index("--drain-time-s") + 1] = _DRAIN_SECONDS
    mounts = [
        _mount("run", RUN_DIR),
        _mount("spire", SPIRE_DIR, read_only=True),
        _mount("envoy", f"{CONFIG_DIR}/envoy", read_only=True),
        _mount("descriptors", f"{CONFIG_DIR}/descriptors", read_only=True),
        _mount("trust", f"{CONFIG_DIR}/trust", read_only=True),
    ]
    if workload.kind == "gateway":
        mounts.append(_mount("tls", f"{CONFIG_DIR}/tls", read_only=True))
    return {
        **_container("envoy", ENVOY_IMAGE, "envoy"),
        "restartPolicy": "Always",
        "command": ["/usr/local/bin/envoy"],
        "args": ["--config-path", f"{CONFIG_DIR}/envoy/envoy.yaml", *arguments],
        "workingDir": RUN_DIR,
        "ports": [
            {
                "name": "public" if workload.kind == "gateway" else "mesh",
                "containerPort": workload.port,
            },
            {"name": "probe", "containerPort": port},
        ],
        # Live only with an identity: listeners wait for their certificates.
        "startupProbe": _probe(port, "/live", 1, 120),
        "livenessProbe": _probe(port, "/live", 10, 3),
        "readinessProbe": _probe(port, "/ready", 1, 2),
        "volumeMounts": mounts,
    }


def _pdp(mesh: Mesh, workload: Workload) -> Object:
    port = mesh.kubernetes.ports["pdp_diagnostics"]
    return {
        **_container("pdp", PDP_IMAGE, "pdp"),
        "restartPolicy": "Always",
        "args": [
            "run",
            "--server",
            *("--addr", f"127.0.0.1:{workload.pdp_port}"),
            # Health and metrics only, for the kubelet; NetworkPolicies keep others away.
            *("--diagnostic-addr", f"0.0.0.0:{port}"),
            "--authentication=token",
            "--authorization=basic",
            *("--config-file", f"{CONFIG_DIR}/pdp/pdp.yaml"),
            *("--set-file", f"keys.paymesh-bundle.key={CONFIG_DIR}/trust/bundle-key.pem"),
            *("--log-level", "info"),
            "--disable-telemetry",
        ],
        "workingDir": RUN_DIR,
        "env": [
            *_env({"GOMEMLIMIT": _PDP_MEMORY, "GOMAXPROCS": "2"}),
            # The kubelet has no token; policies/system/authz.rego says what is open then.
            *_env({"PAYMESH_PDP_DIAGNOSTICS": "open"}),
            {
                "name": TOKEN_DIGEST,
                "valueFrom": {"secretKeyRef": {"name": workload.name, "key": "pdp-token-sha256"}},
            },
        ],
        "ports": [{"name": "diagnostics", "containerPort": port}],
        # Started only with a verified bundle: without one it would refuse everything.
        "startupProbe": _probe(port, "/health?bundles", 1, 120),
        "readinessProbe": _probe(port, "/health?bundles", 2, 2),
        "livenessProbe": _probe(port, "/health", 10, 3),
        "volumeMounts": [
            _mount("run", RUN_DIR),
            _mount("state", STATE_DIR),
            _mount("pdp", f"{CONFIG_DIR}/pdp", read_only=True),
            _mount("descriptors", f"{CONFIG_DIR}/descriptors", read_only=True),
            _mount("trust", f"{CONFIG_DIR}/trust", read_only=True),
            _mount("pdp-secrets", f"{CONFIG_DIR}/pdp-secrets", read_only=True),
            _mount("policy-floor", f"{CONFIG_DIR}/policy-floor", read_only=True),
        ],
    }


def _container(name: str, image: str, size: str) -> Object:
    milli_cpu, asked_mebibytes, most_mebibytes = _RESOURCES[size]
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": SECURITY_CONTEXT,
        "resources": {
            "requests": {"cpu": f"{milli_cpu}m", "memory": f"{asked_mebibytes}Mi"},
            "limits": {"memory": f"{most_mebibytes}Mi"},
        },
    }


def _draining(mesh: Mesh) -> dict[str, str]:
    return {
        "PAYMESH_ADMIN_SOCKET": ADMIN_SOCKET,
        "PAYMESH_DRAIN_SECONDS": str(mesh.kubernetes.drain_seconds),
    }


def _env(values: dict[str, str]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _mount(volume: str, path: str, *, read_only: bool = False) -> Object:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _probe(port: int, path: str, period_seconds: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
