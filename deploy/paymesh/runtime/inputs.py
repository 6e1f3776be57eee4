"""What a running mesh was started from, as one value: `up` restarts it when that has changed.

The policies are not part of it: an edit to one is live without a restart.
"""

from __future__ import annotations

import os

from paymesh import binaries
from paymesh.mesh import Mesh, repository_root
from paymesh.paths import Paths
from paymesh.runtime import mirror, programs, shipping
from paymesh.runtime.processes import PASSED_ON


def fingerprint(paths: Paths, mesh: Mesh) -> str:
    """16 hex digits over sources, programs, generated configuration, ports and environment.

    Raises:
        SetupError: a program is missing.
    """
    root = repository_root()
    built = [binaries.built(paths, name) for name in (*binaries.SPIRE, binaries.PDP)]
    files = [
        root / "deploy" / "mesh.yaml",
        root / "policies" / "descriptors.binpb",
        *sorted((root / "envoy").glob("*.yaml")),
    ]
    return mirror.stamp_of(
        [
            programs.sources_stamp(),
            [mirror.file_state(path) for path in (*built, binaries.envoy_binary())],
            [(path.name, path.read_bytes()) for path in files],
            mesh.port_offset,
            [os.environ.get(name) for name in (*PASSED_ON, *shipping.VARIABLES)],
        ]
    )
