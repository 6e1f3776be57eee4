"""A small mesh, PostgreSQL and SPIRE, in a home and at ports of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from runtime_small_mesh import SmallMesh

from paymesh import binaries
from paymesh.errors import SetupError
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

_OFFSET = os.environ.get("PAYMESH_RUNTIME_TEST_PORT_OFFSET", "4000")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A short path that other uids may enter."""
    directory = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory / "home"
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def small_mesh(home: Path) -> Iterator[SmallMesh]:
    """Up when a test begins with it, unless the test before left it down."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYMESH_HOME", str(home))
        patch.setenv("PAYMESH_PORT_OFFSET", _OFFSET)
        paths = default_paths()
        try:
            for name in (*binaries.SPIRE, binaries.PDP):
                binaries.built(paths, name)
        except SetupError as error:
            pytest.skip(str(error))
        made = SmallMesh(paths, load_mesh())
        try:
            yield made
        finally:
            made.down()
