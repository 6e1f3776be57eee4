"""The policy decision point's configuration, in OPA's own format.

For OPA's own image leave out what is named `paymesh_…` below `plugins`, and
`decision_logs.plugin`, which it does not know.
"""

from __future__ import annotations

import dataclasses

from paymesh.mesh import Mesh, Workload
from paymesh.policy.names import FILE_NAME, KEY_ID, SHADOW_FILE_NAME, SHADOW_KEY_ID
from paymesh.render.blocks import AUTHZ_SOCKET, Block

SHADOW_STATE = "shadow.json"
SHADOW_DIFFERENCES = "shadow.jsonl"
DECISION_PATH = "paymesh/authz/decision"
_LONG_POLL_SECONDS = 10
_TOKEN_CACHE_ENTRIES = 1000
_MAX_DECISION_LOG_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Receiver:
    """Where a decision log is shipped to; file names as in Surroundings.

    `format` is `otlp` (OTLP/HTTP, protobuf) or `ndjson`; `service_name` stands in OTLP.
    """

    endpoint: str
    format: str
    service_name: str
    token_file: str | None = None
    ca_file: str | None = None


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Where a policy decision point finds things; names are relative to its working directory.

    Without `bundle_key` (PEM) it is given on the command line, as
    `--set-file keys.paymesh-bundle.key=FILE`: without either it does not start. Without
    `decisions`, a file, they go to the standard output. With `shadow_key` (PEM) candidates
    signed with it are asked beside the policy. With `receiver` the file of decisions is shipped.
    """

    bundle_server: str
    bundle_server_ca: str | None = None
    bundle_token: str = "bundle-token"  # noqa: S105 — a file's name
    bundle_key: str | None = None
    descriptors: str = "descriptors.binpb"
    decisions: str | None = "decisions.jsonl"
    revision: str = "revision"
    revision_floor: str | None = None
    shadow_key: str | None = None
    receiver: Receiver | None = None


def configuration(mesh: Mesh, workload: Workload, around: Surroundings) -> Block:
    """`pdp.yaml` of one workload."""
    service: Block = {
        "url": around.bundle_server,
        "credentials": {"bearer": {"token_path": around.bundle_token}},
        "response_header_timeout_seconds": _LONG_POLL_SECONDS + 5,
    }
    if around.bundle_server_ca:
        service["tls"] = {"ca_cert": around.bundle_server_ca, "system_ca_required": False}
    key = {"algorithm": "ES256", **({"key": around.bundle_key} if around.bundle_key else {})}
    log: Block = {
        "path": around.decisions or "-",
        "revision_file": around.revision,
    }
    if around.decisions:
        log["max_bytes"] = _MAX_DECISION_LOG_BYTES
    if around.revision_floor:
        log["revision_floor_file"] = around.revision_floor
    return {
        "labels": {"workload": workload.name},
        "services": {"bundles": service},
        "bundles": {
            "paymesh": {
                "service": "bundles",
                "resource": f"bundles/{FILE_NAME}",
                "persist": False,
                "signing": {"keyid": KEY_ID},
                "polling": {
                    "min_delay_seconds": 1,
                    "max_delay_seconds": 1,
                    "long_polling_timeout_seconds": _LONG_POLL_SECONDS,
                },
            }
        },
        "keys": {KEY_ID: key},
        "plugins": {
            "envoy_ext_authz_grpc": {
                "addr": f"unix://{AUTHZ_SOCKET}",
                "path": DECISION_PATH,
                "proto-descriptor": around.descriptors,
                "grpc-max-recv-msg-size": 4 * mesh.limits.max_message_bytes,
            },
            "paymesh_decision_log": log,
            **_shadow(around),
            **_shipping(around),
        },
        # Answers of the data API go into the same log.
        "decision_logs": {"plugin": "paymesh_decision_log"},
        # So that GET /v1/status answers; it is sent nowhere. OPA refuses an empty section.
        "status": {"prometheus": True, "trigger": "manual"},
        "caching": {
            "inter_query_builtin_value_cache": {
                "named": {"io_jwt": {"max_num_entries": _TOKEN_CACHE_ENTRIES}}
            }
        },
    }


def _shadow(around: Surroundings) -> Block:
    if not around.shadow_key:
        return {}
    return {
        "paymesh_shadow": {
            "service": "bundles",
            "resource": f"bundles/{SHADOW_FILE_NAME}",
            "key_id": SHADOW_KEY_ID,
            # Not under `keys`, where the policy's own bundle could name it.
            "key": around.shadow_key,
            "differences": SHADOW_DIFFERENCES,
            "status": SHADOW_STATE,
        }
    }


def _shipping(around: Surroundings) -> Block:
    if around.receiver is None:
        return {}
    settings = {
        "log": around.decisions,
        "cursor": "shipping.json",
        **dataclasses.asdict(around.receiver),
    }
    return {"paymesh_decision_shipping": {k: v for k, v in settings.items() if v is not None}}


def for_pod(mesh: Mesh, workload: Workload) -> Block:
    """`pdp.yaml` in a pod, whose files are mounted; the cluster's own key is not in it."""
    kubernetes = mesh.kubernetes
    name = mesh.cluster_name("bundle-server", kubernetes.namespaces["platform"])
    return configuration(
        mesh,
        workload,
        Surroundings(
            bundle_server=f"https://{name}:{kubernetes.ports['bundle_server']}",
            bundle_server_ca="/etc/paymesh/trust/platform-ca.pem",
            bundle_token="/etc/paymesh/pdp-secrets/bundle-token",  # noqa: S106
            descriptors="/etc/paymesh/descriptors/descriptors.binpb",
            # The cluster's own way of collecting logs; a file would be gone with its pod.
            decisions=None,
            revision="/var/lib/paymesh/revision",
            revision_floor="/etc/paymesh/policy-floor/revision",
        ),
    )
