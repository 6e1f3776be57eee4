"""Builds each overlay, and each combination of components that the READMEs name."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from paymesh.checker import kubernetes
from paymesh.kube.kustomize import build
from paymesh.mesh import repository_root

ROOT = repository_root()
Object = dict[str, Any]
# What kustomize reads.
_PARTS = ("deploy/k8s", "envoy", "policies/pdp/kubernetes")
_FILES = ("policies/Kustomization", "policies/descriptors.binpb")


@dataclasses.dataclass(frozen=True)
class Combination:
    """An overlay with one thing changed; `change` edits its kustomization."""

    name: str
    overlay: str
    change: Callable[[Object], object] = lambda _: None


@dataclasses.dataclass(frozen=True)
class Built:
    """What would be applied, and which components it was built with."""

    components: frozenset[str]
    objects: list[Object]


def _component(name: str) -> str:
    return f"../../components/{name}"


def _after(existing: str, added: str) -> Callable[[Object], object]:
    def change(overlay: Object) -> None:
        listed = overlay["components"]
        listed.insert(listed.index(_component(existing)) + 1, _component(added))

    return change


def _without_postgres(overlay: Object) -> None:
    listed = overlay["components"]
    listed[listed.index(_component("postgres"))] = _component("postgres-external")


def _without_spire(overlay: Object) -> None:
    overlay["components"].remove(_component("spire"))
    overlay["resources"].append(_component("spire/identities"))


COMBINATIONS = (
    Combination("kind", "kind"),
    Combination("production", "production"),
    Combination("kind with traces", "kind", _after("admission", "observability")),
    Combination("production with traces", "production", _after("admission", "observability")),
    Combination("kubelet verified", "production", _after("spire", "spire-verified-kubelet")),
    Combination("PostgreSQL elsewhere", "production", _without_postgres),
    Combination("SPIRE runs already", "production", _without_spire),
)


def copy_sources(target: Path) -> None:
    """What the overlays are built from, where it can be changed."""
    for part in _PARTS:
        shutil.copytree(ROOT / part, target / part)
    for part in _FILES:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, target / part)


def built(root: Path, combination: Combination) -> Built:
    """Builds a combination in a copy at `root`."""
    directory = root / "deploy" / "k8s" / "overlays" / combination.name.replace(" ", "-").lower()
    if not directory.exists():
        shutil.copytree(directory.with_name(combination.overlay), directory)
    file = directory / "kustomization.yaml"
    overlay: Object = yaml.safe_load(file.read_text(encoding="utf-8"))
    combination.change(overlay)
    file.write_text(yaml.safe_dump(overlay), encoding="utf-8")
    return Built(kubernetes.components(overlay), build(directory))
