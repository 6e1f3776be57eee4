"""A kind cluster on this machine: made when missing, given images, restarted onto new ones."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from paymesh.errors import SetupError
from paymesh.kube import wait
from paymesh.kube.deploy import record_key
from paymesh.kube.objects import Object, containers, decoded, key, pod_template
from paymesh.kube.site import Site
from paymesh.kube.wait import Deadline

_CREATE_SECONDS = 600
_LOAD_SECONDS = 600
_ASK_SECONDS = 60
_OURS = "paymesh.internal/"
_RESTARTED = "paymesh.internal/restarted-at"
_IMAGES = "images"


def context_of(name: str) -> str:
    """The context that kind writes into the kubeconfig."""
    return f"kind-{name}"


def require_tools() -> None:
    """Refuses before anything is built.

    Raises:
        SetupError: names what is missing and where it comes from.
    """
    for program, where in (
        ("kind", "https://kind.sigs.k8s.io (0.24 or later, whose network enforces policies)"),
        ("kubectl", "https://kubernetes.io/docs/tasks/tools"),
    ):
        if shutil.which(program) is None:
            raise SetupError(
                f"{program} is not on PATH: install it from {where}, or run `paymesh deploy"
                " --context C` on a cluster that you have"
            )


def ensure_cluster(name: str, configuration: Path, engine: str) -> bool:
    """Makes the cluster when there is none of this name; returns whether it did.

    Args:
        name: of the cluster.
        configuration: kind's.
        engine: container engine that its nodes run in.

    Raises:
        SetupError: kind refuses; the end of what it says.
    """
    names = _kind(["get", "clusters"], engine, _ASK_SECONDS).split()
    if name in names:
        _kind(["export", "kubeconfig", "--name", name], engine, _ASK_SECONDS)
        return False
    arguments = ["create", "cluster", "--name", name, "--config", str(configuration)]
    _kind([*arguments, "--wait", "120s"], engine, _CREATE_SECONDS)
    return True


def load(name: str, archives: Sequence[Path], engine: str) -> None:
    """Puts images on every node.

    Args:
        name: of the cluster.
        archives: docker archives, which every engine can write.
        engine: as in `ensure_cluster`.

    Raises:
        SetupError: kind refuses.
    """
    for archive in archives:
        _kind(["load", "image-archive", str(archive), "--name", name], engine, _LOAD_SECONDS)


def digest_of(archives: Sequence[Path]) -> str:
    """Of the contents of archives: an image that is built again keeps its name."""
    found = hashlib.sha256()
    for archive in sorted(archives):
        with archive.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def restart_onto(site: Site, images: str, timeout_seconds: float) -> list[str]:
    """Replaces the pods that run images of ours, when those have other contents than at the
    last time; returns the names of what was restarted.

    Args:
        site: a mesh that is deployed.
        images: as `digest_of` has it.
        timeout_seconds: for the pods to be ready.

    Raises:
        ClusterError: they do not come up.
    """
    record = site.cluster.find(record_key(site))
    before = decoded(record).get(_IMAGES, b"").decode() if record else ""
    running = [
        value
        for namespace in site.namespaces
        for value in site.cluster.items("apps/v1", "Deployment", namespace)
        if _runs_ours(value)
    ]
    restarted = running if before and before != images else []
    moment = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    change = {"spec": {"template": {"metadata": {"annotations": {_RESTARTED: moment}}}}}
    for value in restarted:
        site.cluster.patch(key(value), change)
    keys = [key(value) for value in restarted]
    wait.rollouts(site.cluster, keys, site.progress, Deadline(timeout_seconds))
    if record is not None and before != images:
        site.cluster.patch(key(record), {"data": {_IMAGES: images}})
    return [wanted.name for wanted in keys]


def _runs_ours(value: Object) -> bool:
    spec = pod_template(value)["spec"]
    return any(container["image"].startswith(_OURS) for container in containers(spec))


def _kind(arguments: list[str], engine: str, timeout_seconds: float) -> str:
    environment: Mapping[str, str] = os.environ
    if engine != "docker":
        environment = {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": engine}
    program = shutil.which("kind") or "kind"
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
            env=environment,
        )
    except OSError as error:
        raise SetupError(f"kind cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(
            f"`kind {arguments[0]} {arguments[1]}` did not end in {timeout_seconds:g} s"
        ) from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()[-60:]) or f"exit code {done.returncode}"
        raise SetupError(f"`kind {arguments[0]} {arguments[1]}` failed: {said}")
    return done.stdout
