"""Properties of every pod, whoever it belongs to."""

from __future__ import annotations

from paymesh.checker.finding import Findings
from paymesh.checker.kubernetes import restricted
from paymesh.checker.kubernetes.build import COMPONENT, NAME, PART, Build, Object, Pod, describe
from paymesh.checker.walk import at, blocks, items

_LEVEL = "pod-security.kubernetes.io/enforce"
# The agent looks at the node's processes, the CSI driver mounts into other pods.
_PRIVILEGED = ("spire-agent", "spiffe-csi-driver")
# Who talks to the Kubernetes API, or proves to SPIRE's server which node it is on.
_WITH_TOKEN = {
    "bundle-server": {"follower"},
    "spire-agent": {"agent"},
    "spire-server": {"server", "controller-manager"},
}
_COMPONENTS = ("workload", "platform", "spire", "outside")


def check_pods(found: Findings, build: Build) -> None:
    """All of it."""
    for pod in build.pods:
        _check_labels(found, pod)
        _check_security(found, build, pod)
        _check_token(found, build, pod)
        for container in pod.containers:
            _check_container(found, f"{pod.name} {container.get('name')}", container)
    _check_namespaces(found, build)
    _check_secrets(found, build)


def _check_labels(found: Findings, pod: Pod) -> None:
    found.expect(
        pod.labels.get(NAME)
        and pod.labels.get(PART) == "paymesh"
        and pod.labels.get(COMPONENT) in _COMPONENTS,
        "pods-labelled",
        f"{describe(pod.owner)}: {pod.labels}",
        f"give its pods the labels {NAME}, {PART}: paymesh and {COMPONENT}",
    )


def _check_security(found: Findings, build: Build, pod: Pod) -> None:
    privileged = {f"{build.namespace('spire_system')}/{name}" for name in _PRIVILEGED}
    problems = [] if pod.name in privileged else list(restricted.violations(pod))
    found.expect(
        not problems,
        "pod-security-restricted",
        f"{describe(pod.owner)}: {'; '.join(problems)}",
        "see Pod Security Standards, level restricted",
    )
    found.expect(
        not at(pod.spec, "shareProcessNamespace") and at(pod.spec, "enableServiceLinks") is False,
        "pods-share-nothing",
        f"{describe(pod.owner)} shares processes or is told of every Service",
        "set enableServiceLinks to false, leave shareProcessNamespace out",
    )


def _check_token(found: Findings, build: Build, pod: Pod) -> None:
    """A token is there for who uses it: mounted by name, or automatically for a listed pod."""
    name = pod.name.partition("/")[2]
    namespaces = {build.namespace(r) for r in ("platform", "spire_server", "spire_system")}
    allowed = _WITH_TOKEN.get(name, set()) if pod.namespace in namespaces else set()
    volumes = {
        str(at(volume, "name"))
        for volume in items(pod.spec, "volumes")
        if any("serviceAccountToken" in block for block in blocks(volume))
    }
    holders = {
        str(at(container, "name"))
        for container in pod.containers
        if any(at(mount, "name") in volumes for mount in items(container, "volumeMounts"))
    }
    if at(pod.spec, "automountServiceAccountToken") is not False:
        holders |= {str(at(container, "name")) for container in pod.containers}
    found.expect(
        holders <= allowed,
        "token-only-where-listed",
        f"{describe(pod.owner)}: {', '.join(sorted(holders - allowed))} can use the Kubernetes API",
        "set automountServiceAccountToken to false",
    )


def _check_container(found: Findings, name: str, container: Object) -> None:
    resources = at(container, "resources")
    found.expect(
        at(resources, "requests", "cpu")
        and at(resources, "requests", "memory")
        and at(resources, "limits", "memory"),
        "resources-bounded",
        f"{name} asks for nothing or takes everything",
        "set requests of cpu and memory and a limit of memory",
    )
    found.expect(
        at(container, "securityContext", "readOnlyRootFilesystem") is True,
        "root-read-only",
        f"{name} can change its image's files",
        "set readOnlyRootFilesystem",
    )
    image = str(at(container, "image") or "")
    tag = image.rpartition("/")[2].partition(":")[2]
    found.expect(
        (tag and tag != "latest") or "@sha256:" in image,
        "images-pinned",
        f"{name} runs {image}",
        "name a version or a digest",
    )


def _check_namespaces(found: Findings, build: Build) -> None:
    for namespace in sorted({pod.namespace for pod in build.pods}):
        value = build.one("Namespace", namespace)
        wanted = "privileged" if namespace == build.namespace("spire_system") else "restricted"
        found.equal(
            "namespace-enforces-pod-security",
            (namespace, at(value, "metadata", "labels", _LEVEL)),
            (namespace, wanted),
            f"label the namespace {_LEVEL}",
        )


def _check_secrets(found: Findings, build: Build) -> None:
    secrets = [describe(secret) for secret in build.of("Secret")]
    found.expect(
        not secrets,
        "no-secrets-in-files",
        f"{', '.join(secrets)} would be committed",
        "`paymesh deploy` makes secrets, or bring your own",
    )
