"""Envoy itself accepts what the arms of `paymesh attack-paths` have in place of its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from envoy_authority import Authority
from envoy_sidecars import ROOT, prepare, validate

from paymesh.attack.arms import envoy
from paymesh.mesh import load_mesh

MESH = load_mesh(ROOT, port_offset=0)
SIDECARS = [workload.name for workload in MESH.sidecars()]
AUTHORITY = Authority("arms")


@pytest.mark.parametrize("arm", ["A", "B"])
@pytest.mark.parametrize("workload", SIDECARS)
def test_envoy_accepts_an_arms_file(tmp_path: Path, workload: str, arm: str) -> None:
    """`envoy --mode validate` has nothing to say about the file, not even a warning."""
    copy = tmp_path / "copy"
    for directory in ("envoy", "deploy/paymesh/runtime"):
        shutil.copytree(ROOT / directory, copy / directory)
    if arm == "A":
        envoy.remove_tls(copy, MESH, "A")
    else:
        envoy.admit_the_trust_domain(copy, MESH, "B")
    pair = AUTHORITY.svid(MESH.spiffe_id(workload), f"{workload}.{MESH.trust_domain}")
    home = prepare(tmp_path, MESH, workload, AUTHORITY, pair)
    assert validate(home, str(copy / "envoy" / f"{workload}.yaml")) == ""
