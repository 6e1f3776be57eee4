"""Which program builds a kustomization."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from paymesh import binaries
from paymesh.errors import SetupError
from paymesh.kube import kustomize
from paymesh.paths import default_paths
from paymesh.setup import builds

_SAYS_ITS_ARGUMENTS = '#!/bin/sh\necho "arguments: [$1, \\"$2\\"]"\n'


@pytest.fixture
def kustomization(tmp_path: Path) -> Path:
    """A directory with a kustomization."""
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    return tmp_path


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_SAYS_ITS_ARGUMENTS)
    path.chmod(0o755)
    return path


def test_without_kubectl_and_kustomize_our_own_is_built_once(
    kustomization: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that has neither program manifests can be built all the same."""
    monkeypatch.setenv("PAYMESH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    built = []

    def build(_paths: object, wanted: builds.Build, _progress: object) -> None:
        built.append(wanted)
        _program(binaries.build_directory(default_paths(), binaries.KUSTOMIZE) / "kustomize")

    monkeypatch.setattr(builds, "run", build)
    for _ in range(2):
        assert kustomize.build(kustomization) == [{"arguments": ["build", str(kustomization)]}]
    assert built == [builds.KUSTOMIZE]


def test_what_stands_on_path_is_used(
    kustomization: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is built where kustomize is there."""
    found = _program(tmp_path / "bin" / "kustomize")
    monkeypatch.setattr(shutil, "which", lambda name: str(found) if name == "kustomize" else None)
    monkeypatch.setattr(builds, "run", lambda *_: pytest.fail("it is built"))
    assert kustomize.build(kustomization) == [{"arguments": ["build", str(kustomization)]}]


def test_a_directory_without_a_kustomization_is_named(tmp_path: Path) -> None:
    """A wrong directory is a sentence and not kustomize's stack of errors."""
    with pytest.raises(SetupError, match="has no kustomization"):
        kustomize.build(tmp_path)
