"""Every overlay and every combination that a README names is built, and holds what it must."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from repo_kubernetes import COMBINATIONS, ROOT, Combination, built, copy_sources

from paymesh.checker import kubernetes
from paymesh.checker.facts import Facts, read_facts

_K8S = ROOT / "deploy" / "k8s"


@pytest.fixture(scope="module")
def facts() -> Facts:
    """The sources."""
    return read_facts(ROOT)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what kustomize reads."""
    target = tmp_path_factory.mktemp("kustomize")
    copy_sources(target)
    return target


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda c: c.name)
def test_combination_has_no_finding(facts: Facts, copy: Path, combination: Combination) -> None:
    """What would be applied is valid, restricted, and has the granted edges and no other."""
    found = built(copy, combination)
    assert kubernetes.findings(combination.name, facts, found.components, found.objects) == []


def test_base_alone_is_built_too(copy: Path) -> None:
    """The base needs no component to be built: `kubectl kustomize` shows the workloads."""
    base = Combination("base", "kind", lambda overlay: overlay.update(components=[], patches=[]))
    kinds = {value["kind"] for value in built(copy, base).objects}
    assert {"Namespace", "Deployment", "CronJob", "ConfigMap"} <= kinds
    assert "NetworkPolicy" not in kinds


def test_image_set_too_late_is_found(facts: Facts, copy: Path) -> None:
    """An image that is set after the policy has copied the images is found before it is refused."""
    late = Combination(
        "late image",
        "production",
        lambda overlay: overlay.update(
            images=[{"name": "docker.io/envoyproxy/envoy", "newTag": "v1.41.0"}]
        ),
    )
    found = built(copy, late)
    findings = kubernetes.findings("late", facts, found.components, found.objects)
    assert {finding.property for finding in findings} == {"admission-images"}


def test_digest_in_the_images_component_is_allowed(facts: Facts, copy: Path) -> None:
    """The place for digests works: pods and admission policy get the same."""
    file = copy / "deploy" / "k8s" / "overlays" / "production" / "images" / "kustomization.yaml"
    before = file.read_text(encoding="utf-8")
    images = yaml.safe_load(before)
    for image in images["images"]:
        image.pop("newTag")
        image["newName"] = "registry.example/" + image["name"].rpartition("/")[2]
        image["digest"] = "sha256:" + 64 * "a"
    directory = copy / "deploy" / "k8s" / "overlays" / "digests"
    pinned = Combination("digests", "production")
    built(copy, pinned)
    (directory / "images" / "kustomization.yaml").write_text(yaml.safe_dump(images))
    found = built(copy, pinned)
    assert kubernetes.findings("digests", facts, found.components, found.objects) == []
    running = {
        container["image"]
        for value in found.objects
        if value["kind"] == "Deployment"
        for container in value["spec"]["template"]["spec"]["containers"]
    }
    assert running == {f"registry.example/{n}@sha256:{64 * 'a'}" for n in ("services", "platform")}


def test_every_component_says_what_it_is_for() -> None:
    """A component is an option: its README says when it is one's own."""
    components = [path for path in (_K8S / "components").iterdir() if path.is_dir()]
    assert [c.name for c in components if not (c / "README.md").is_file()] == []
    for component in components:
        text = (component / "kustomization.yaml").read_text(encoding="utf-8")
        assert yaml.safe_load(text)["kind"] == "Component", component


def test_every_component_is_in_a_combination() -> None:
    """No component goes unchecked."""
    used: set[str] = set()
    for combination in COMBINATIONS:
        file = _K8S / "overlays" / combination.overlay / "kustomization.yaml"
        overlay = yaml.safe_load(file.read_text(encoding="utf-8"))
        combination.change(overlay)
        used |= kubernetes.components(overlay)
    present = {path.name for path in (_K8S / "components").iterdir() if path.is_dir()}
    assert present <= used


def test_kind_and_the_overlay_name_the_same_port() -> None:
    """The node port of the kind overlay is the one that the kind cluster maps to this machine."""
    cluster = yaml.safe_load((ROOT / "deploy" / "kind" / "cluster.yaml").read_text())
    mapping = cluster["nodes"][0]["extraPortMappings"][0]
    overlay = (_K8S / "overlays" / "kind" / "kustomization.yaml").read_text(encoding="utf-8")
    assert f"value: {mapping['containerPort']}\n" in overlay
    mesh = yaml.safe_load((ROOT / "deploy" / "mesh.yaml").read_text(encoding="utf-8"))
    assert mapping["hostPort"] == mesh["workloads"]["gateway"]["port"]
    assert mapping["listenAddress"] == "127.0.0.1"
