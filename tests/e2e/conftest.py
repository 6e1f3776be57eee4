"""One mesh for all end-to-end tests, in a home and on ports of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.checkout import copied
from e2e.world import World

# Before anything reads them: the mesh under test is never the user's own.
_OFFSET = os.environ.get("PAYMESH_TEST_PORT_OFFSET", "2000")


@pytest.fixture(scope="session")
def mesh_home() -> Iterator[Path]:
    """A short path, because Unix sockets stand below it, that other uids may enter."""
    home = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def checkout() -> Iterator[Path]:
    """A copy of the repository: tests edit its policies while the mesh runs from it."""
    with copied() as root:
        yield root


@pytest.fixture(scope="session")
def world(mesh_home: Path, checkout: Path) -> Iterator[World]:
    """The running mesh."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PAYMESH_ROOT", str(checkout))
        environment.setenv("PAYMESH_HOME", str(mesh_home))
        environment.setenv("PAYMESH_PORT_OFFSET", _OFFSET)
        running = World.start()
        try:
            yield running
        finally:
            running.stop()
