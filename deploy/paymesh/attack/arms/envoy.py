"""What the arms have in place of Envoy's configuration: fewer names, or no TLS at all."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paymesh.attack.arms import documents
from paymesh.attack.arms.policy import CLAIM_HEADER
from paymesh.attack.model import Arm
from paymesh.mesh import Mesh, Workload

_MANAGER = "envoy.filters.network.http_connection_manager"
_TLS = ("filter_chain_match", "transport_socket", "transport_socket_connect_timeout")
_SANS = "match_typed_subject_alt_names"


def admit_the_trust_domain(root: Path, mesh: Mesh, arm: Arm) -> None:
    """Arm B: any SVID of the trust domain opens a connection; the chain is verified as before."""

    def change(document: Any) -> None:
        for chain in _chains(document, "inbound"):
            tls = chain["transport_socket"]["typed_config"]["common_tls_context"]
            del tls["combined_validation_context"]["default_validation_context"][_SANS]

    for workload in mesh.services():
        documents.edit(_file(root, workload), arm, change)


def remove_tls(root: Path, mesh: Mesh, arm: Arm) -> None:
    """Arm A: plaintext inside; who calls is what a header says, and every Envoy says who it is.
    The gateway's public listener stays as it is.
    """
    for workload in mesh.sidecars():
        change = functools.partial(_plaintext, mesh=mesh, workload=workload)
        documents.edit(_file(root, workload), arm, change)
    # `up` waits until each Envoy has its SVID, and here there is none to wait for.
    documents.replace_text(
        root / "deploy" / "paymesh" / "runtime" / "probes.py",
        'return None if any(chains) else "no certificate yet"',
        'return None if chains is not None else "no certificate yet"',
        times=1,
    )


def _plaintext(document: Any, mesh: Mesh, workload: Workload) -> None:
    claim = {
        "header": {"key": CLAIM_HEADER, "value": mesh.spiffe_id(workload.name)},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    if workload.kind == "service":
        for listener in _listeners(document, "inbound"):
            del listener["listener_filters"]
        for chain in _chains(document, "inbound"):
            for key in _TLS:
                del chain[key]
    way_out = "outbound" if workload.kind == "service" else "public"
    for chain in _chains(document, way_out):
        for routes in _routes(chain):
            routes["request_headers_to_add"] = [claim]
    callees = {service.name for service in mesh.services()}
    for cluster in document["static_resources"]["clusters"]:
        if cluster["name"] in callees:
            del cluster["transport_socket"]
            for check in cluster.get("health_checks", ()):
                check["grpc_health_check"]["initial_metadata"] = [claim]


def _file(root: Path, workload: Workload) -> Path:
    return root / "envoy" / f"{workload.name}.yaml"


def _listeners(document: Any, name: str) -> list[Any]:
    found = [each for each in document["static_resources"]["listeners"] if each["name"] == name]
    if not found:
        raise KeyError(f"no listener {name}")
    return found


def _chains(document: Any, name: str) -> Iterator[Any]:
    for listener in _listeners(document, name):
        yield from listener["filter_chains"]


def _routes(chain: Any) -> Iterator[Any]:
    managers = [each for each in chain["filters"] if each["name"] == _MANAGER]
    if not managers:
        raise KeyError(_MANAGER)
    for manager in managers:
        yield manager["typed_config"]["route_config"]
