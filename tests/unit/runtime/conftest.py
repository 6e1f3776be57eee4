"""A home below a temporary directory and a mesh at ports that nothing uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Nothing exists below it yet."""
    return Paths(home=tmp_path / "home", cache=tmp_path / "cache")


@pytest.fixture(scope="session")
def mesh() -> Mesh:
    """As committed."""
    return load_mesh(port_offset=0)
