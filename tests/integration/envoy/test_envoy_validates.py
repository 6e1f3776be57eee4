"""Envoy itself accepts every committed file, and the ways in which an environment changes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from envoy_authority import Authority
from envoy_sidecars import ROOT, committed, prepare, validate

from paymesh.mesh import load_mesh
from paymesh.render import with_tracing

MESH = load_mesh(ROOT, port_offset=0)
SIDECARS = [workload.name for workload in MESH.sidecars()]
AUTHORITY = Authority("validation")


@pytest.mark.parametrize("workload", SIDECARS)
def test_envoy_accepts_the_committed_file(tmp_path: Path, workload: str) -> None:
    """`envoy --mode validate` has nothing to say, not even a warning."""
    pair = AUTHORITY.svid(MESH.spiffe_id(workload), f"{workload}.{MESH.trust_domain}")
    home = prepare(tmp_path, MESH, workload, AUTHORITY, pair)
    assert validate(home, str(ROOT / "envoy" / f"{workload}.yaml")) == ""


@pytest.mark.parametrize("workload", SIDECARS)
def test_envoy_accepts_tracing(tmp_path: Path, workload: str) -> None:
    """The same file with spans exported is accepted too."""
    pair = AUTHORITY.svid(MESH.spiffe_id(workload), f"{workload}.{MESH.trust_domain}")
    home = prepare(tmp_path, MESH, workload, AUTHORITY, pair)
    traced = with_tracing(committed(workload), "http://127.0.0.1:4317")
    (home / "traced.yaml").write_text(yaml.safe_dump(traced), encoding="utf-8")
    assert validate(home, "traced.yaml") == ""
