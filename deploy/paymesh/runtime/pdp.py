"""The policy decision point on this machine: its configuration and how it is started."""

from __future__ import annotations

import json

from paymesh.mesh import Mesh, Workload
from paymesh.render import pdp


def config(
    mesh: Mesh,
    workload: Workload,
    bundle_public_key: bytes,
    shadow_public_key: bytes,
    receiver: pdp.Receiver | None = None,
) -> str:
    """`pdp.yaml` of one workload; JSON is YAML. Paths are relative to its runtime directory."""
    around = pdp.Surroundings(
        bundle_server=f"http://{mesh.address}:{mesh.ports['bundle_server']}",
        bundle_key=bundle_public_key.decode("ascii"),
        shadow_key=shadow_public_key.decode("ascii"),
        receiver=receiver,
    )
    return json.dumps(pdp.configuration(mesh, workload, around), indent=2) + "\n"


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
