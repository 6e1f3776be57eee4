"""An arm that runs, as probes see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from paymesh.attack.loot import Loot
from paymesh.attack.model import Arm
from paymesh.attack.plants import Plants
from paymesh.mesh import Mesh
from paymesh.paths import Paths


@dataclasses.dataclass(frozen=True)
class Stage:
    """One arm, up and planted.

    Attributes:
        arm: which.
        root: the copy of the checkout that it runs from.
        paths: of its home; its logs are `paths.log(process)`, the apps' at level debug.
        mesh: as the copy's deploy/mesh.yaml says, on the ports that it has.
        plants: objects to ask about, and requests that name them.
        loot: what an attacker may have stolen or forged.
        databases: by name, the address and port at which it listens on the network; empty in
            arms that do not have that door.
    """

    arm: Arm
    root: Path
    paths: Paths
    mesh: Mesh
    plants: Plants
    loot: Loot
    databases: Mapping[str, tuple[str, int]]
