"""Each container runs the image that the manifest names, the same one in every replica."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from paymesh.checks.kube.model import DEPLOY, Look, name_of
from paymesh.checks.model import Finding, Section
from paymesh.kube import stuck
from paymesh.kube.objects import NAME, Object, containers, pod_template

_section = Section("images")


def check(look: Look) -> Iterator[Finding]:
    """Yields a finding for each controller and one for each image."""
    digests: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for built in look.built_of("Deployment", "StatefulSet", "DaemonSet"):
        template = pod_template(built)
        wanted = {c["name"]: c["image"] for c in containers(template["spec"])}
        labels = template["metadata"]["labels"]
        pods = look.pods(built["metadata"]["namespace"], labels[NAME])
        yield _as_named(built, wanted, pods)
        for pod in pods:
            for container in stuck.container_statuses(pod):
                image, digest = wanted.get(container["name"]), container.get("imageID")
                if image and digest:
                    digests[image][digest].append(name_of(pod))
    for image, found in sorted(digests.items()):
        yield _one_content(image, found)


def _as_named(built: Object, wanted: dict[str, str], pods: list[Object]) -> Finding:
    name = f"{built['metadata']['name']} runs the images of its manifest"
    odd = [
        f"{name_of(pod)} runs {container['image']} as {container['name']}"
        for pod in pods
        for container in containers(pod["spec"])
        if container["image"] != wanted.get(container["name"])
    ]
    return _section.expect(name, "; ".join(odd) or None, DEPLOY)


def _one_content(image: str, found: dict[str, list[str]]) -> Finding:
    name = f"{image} is the same everywhere"
    if len(found) == 1:
        return _section.ok(name)
    parts = [f"{digest[-12:]} in {', '.join(sorted(set(pods)))}" for digest, pods in found.items()]
    return _section.problem(
        name,
        f"one name, {len(found)} contents: {'; '.join(parts)}",
        "load the image on every node, then `kubectl rollout restart` what runs the older one",
    )
