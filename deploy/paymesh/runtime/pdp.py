"""The policy decision point's configuration, in OPA's own format.

For OPA's own image leave out `plugins.paymesh_decision_log` and
`decision_logs.plugin`, which it does not know.
"""

from __future__ import annotations

import json

from paymesh.mesh import Mesh, Workload

BUNDLE_KEY_ID = "paymesh-bundle"
DECISION_PATH = "paymesh/authz/decision"
_LONG_POLL_SECONDS = 10
_TOKEN_CACHE_ENTRIES = 1000
_MAX_DECISION_LOG_BYTES = 256 << 20


def config(mesh: Mesh, workload: Workload, bundle_public_key: bytes) -> str:
    """`pdp.yaml` of one workload; JSON is YAML. Paths are relative to its runtime directory."""
    value = {
        "labels": {"workload": workload.name},
        "services": {
            "bundles": {
                "url": f"http://{mesh.address}:{mesh.ports['bundle_server']}",
                "credentials": {"bearer": {"token_path": "bundle-token"}},
                "response_header_timeout_seconds": _LONG_POLL_SECONDS + 5,
            }
        },
        "bundles": {
            "paymesh": {
                "service": "bundles",
                "resource": "bundles/paymesh.tar.gz",
                "persist": False,
                "signing": {"keyid": BUNDLE_KEY_ID},
                "polling": {
                    "min_delay_seconds": 1,
                    "max_delay_seconds": 1,
                    "long_polling_timeout_seconds": _LONG_POLL_SECONDS,
                },
            }
        },
        "keys": {BUNDLE_KEY_ID: {"algorithm": "ES256", "key": bundle_public_key.decode("ascii")}},
        "plugins": {
            "envoy_ext_authz_grpc": {
                "addr": "unix://authz.sock",
                "path": DECISION_PATH,
                "proto-descriptor": "descriptors.binpb",
                "grpc-max-recv-msg-size": 4 * mesh.limits.max_message_bytes,
            },
            "paymesh_decision_log": {
                "path": "decisions.jsonl",
                "max_bytes": _MAX_DECISION_LOG_BYTES,
                "revision_file": "revision",
            },
        },
        # Answers of the data API go into the same log.
        "decision_logs": {"plugin": "paymesh_decision_log"},
        "caching": {
            "inter_query_builtin_value_cache": {
                "named": {"io_jwt": {"max_num_entries": _TOKEN_CACHE_ENTRIES}}
            }
        },
    }
    return json.dumps(value, indent=2) + "\n"


def arguments(mesh: Mesh, workload: Workload) -> list[str]:
    """What the PDP is started with, in the workload's runtime directory."""
    return [
        "run",
        "--server",
        *("--addr", f"{mesh.address}:{workload.pdp_port}"),
        "--authentication=token",
        "--authorization=basic",
        *("--config-file", "pdp.yaml"),
        *("--log-level", "info"),
        "--disable-telemetry",
    ]
