"""A copy of the policies to edit, keys, and real policy decision points.

The program is the one that `make setup` built; PAYMESH_PDP names another, such as
an official `opa`, which has to pass the same tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh import binaries
from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.paths import default_paths
from paymesh.policy.environment import environment
from paymesh.runtime.issuer import jwk

from . import live


@pytest.fixture(scope="session")
def pdp() -> Path:
    """The policy decision point's program."""
    named = os.environ.get("PAYMESH_PDP")
    return Path(named) if named else binaries.built(default_paths(), binaries.PDP)


@pytest.fixture(scope="session")
def mesh() -> Mesh:
    """deploy/mesh.yaml, ports as they stand there."""
    return load_mesh(port_offset=0)


@pytest.fixture(scope="session")
def bundle_key() -> ec.EllipticCurvePrivateKey:
    """Signs bundles."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def issuer_key() -> ec.EllipticCurvePrivateKey:
    """Signs end users' tokens."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def mesh_environment(mesh: Mesh, issuer_key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """`data.paymesh.environment` of a mesh whose issuer has `issuer_key`."""
    return environment(mesh, json.dumps({"keys": [jwk(issuer_key.public_key())]}))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The parts of the checkout that are published, to edit."""
    root, copy = repository_root(), tmp_path / "checkout"
    shutil.copytree(root / "policies", copy / "policies", ignore=shutil.ignore_patterns("pdp"))
    (copy / "deploy").mkdir()
    shutil.copy(root / "deploy" / "mesh.yaml", copy / "deploy" / "mesh.yaml")
    return copy


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    return live.free_port()


@pytest.fixture
def start_pdp(pdp: Path, tmp_path: Path, free_port: int) -> Iterator[live.StartPdp]:
    """Starts a decision point with a configuration; stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(
            config: Mapping[str, Any], *flags: str, variables: Mapping[str, str] | None = None
        ) -> live.Pdp:
            running, process = live.start(
                pdp, tmp_path, free_port, config, *flags, variables=variables
            )
            stack.callback(live.stop, process)
            return running

        yield start
