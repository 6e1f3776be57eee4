"""A copy of the policies to edit, keys, and real policy decision points.

The program is the one that `make setup` built; PAYMESH_PDP names another, such as
an official `opa`, which has to pass the same tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh import binaries
from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.paths import default_paths
from paymesh.policy import bundle, publisher
from paymesh.policy.environment import environment
from paymesh.runtime.issuer import jwk

from . import live
from .explained import Explainer

BUNDLE_TOKEN = "bundle-token"


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


@pytest.fixture
def settings(
    checkout: Path,
    tmp_path: Path,
    pdp: Path,
    bundle_key: ec.EllipticCurvePrivateKey,
    mesh_environment: dict[str, Any],
) -> publisher.Settings:
    """The copy of the checkout, published into an empty directory."""
    (tmp_path / "bundles").mkdir()
    return publisher.Settings(
        root=checkout,
        directory=tmp_path / "bundles",
        key=bundle_key,
        environment=mesh_environment,
        pdp=pdp,
        status_file=tmp_path / "policy.json",
        archive=tmp_path / "archive",
    )


@pytest.fixture
def bundle_port(settings: publisher.Settings, tmp_path: Path) -> Iterator[int]:
    """A bundle server as the supervisor starts it, and its port."""
    port = live.free_port()
    digest = hashlib.sha256(BUNDLE_TOKEN.encode()).hexdigest()
    (tmp_path / "tokens").write_text(f"{digest} ledger\n")
    process = subprocess.Popen(
        [
            sys.executable,
            *("-m", "paymesh.policy.server", "--directory", settings.directory),
            *("--port", str(port), "--tokens", tmp_path / "tokens"),
        ],
        env={**os.environ, "PYTHONPATH": str(repository_root() / "deploy")},
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def pdp_config(bundle_port: int, bundle_key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """The decision point's configuration, but for its plugins."""
    return {
        "services": {
            "bundles": {
                "url": f"http://127.0.0.1:{bundle_port}",
                "credentials": {"bearer": {"token": BUNDLE_TOKEN}},
            }
        },
        "bundles": {
            "paymesh": {
                "service": "bundles",
                "resource": "bundles/paymesh.tar.gz",
                "signing": {"keyid": bundle.KEY_ID},
                "polling": {
                    "long_polling_timeout_seconds": 10,
                    "min_delay_seconds": 1,
                    "max_delay_seconds": 1,
                },
            }
        },
        "keys": {bundle.KEY_ID: {"algorithm": "ES256", "key": live.public_pem(bundle_key)}},
    }


@pytest.fixture(scope="session")
def explainer(pdp: Path, mesh: Mesh, mesh_environment: dict[str, Any]) -> Explainer:
    """Makes and explains decisions of the checkout's policy."""
    if "PAYMESH_PDP" in os.environ:
        pytest.skip("OPA's own program cannot be asked about recorded decisions")
    return Explainer(pdp, mesh, mesh_environment)
