"""A kind cluster on this machine: made when missing, given images, restarted onto new ones."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from paymesh.errors import SetupError
from paymesh.images.engine import why_not
from paymesh.kube import wait
from paymesh.kube.deploy import record_key
from paymesh.kube.objects import Object, containers, decoded, key, pod_template
from paymesh.kube.site import Site
from paymesh.kube.wait import Deadline

_CREATE_SECONDS = 600
_LOAD_SECONDS = 600
_ASK_SECONDS = 60
_DELETE_SECONDS = 120
_END_SECONDS = 10
_PROVIDER = "KIND_EXPERIMENTAL_PROVIDER"
# What kind says of a name that is taken.
_THERE = "already exist"
_ELSEWHERE = "run `paymesh deploy --context C` on a cluster that you have"
# Preferred first. buildah builds images and runs no nodes.
NODE_ENGINES = ("docker", "podman")
_OURS = "paymesh.internal/"
_RESTARTED = "paymesh.internal/restarted-at"
_IMAGES = "images"


def context_of(name: str) -> str:
    """The context that kind writes into the kubeconfig."""
    return f"kind-{name}"


def require_tools(preferred: str | None = None) -> str:
    """Refuses before anything is built.

    Args:
        preferred: a container engine; one that only builds images is not for nodes.

    Returns:
        The engine for kind's nodes: one of NODE_ENGINES.

    Raises:
        SetupError: names what is missing and where it comes from.
    """
    for program, where in (
        ("kind", "https://kind.sigs.k8s.io (0.30 or later)"),
        ("kubectl", "https://kubernetes.io/docs/tasks/tools"),
    ):
        if shutil.which(program) is None:
            raise SetupError(f"{program} is not on PATH: install it from {where}, or {_ELSEWHERE}")
    asked = os.environ.get(_PROVIDER) or preferred
    complaints = []
    for name in (asked,) if asked in NODE_ENGINES else NODE_ENGINES:
        complaint = why_not(name)
        if complaint is None:
            return name
        complaints.append(f"{name}: {complaint}")
    raise SetupError(
        f"kind's nodes run in {' or '.join(NODE_ENGINES)}, whatever builds the images, and none"
        f" works ({'; '.join(complaints)}): install and start one, or {_ELSEWHERE}"
    )


def ensure_cluster(name: str, configuration: Path, engine: str) -> bool:
    """Makes the cluster when there is none of this name; returns whether it did.

    A creation that does not end well leaves nothing behind: half a cluster would be
    taken for a whole one at the next time.

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
    try:
        _kind([*arguments, "--wait", "120s"], engine, _CREATE_SECONDS)
    except BaseException as error:
        # Somebody else's, who was faster.
        if _THERE not in str(error):
            _remove(name, engine, error)
        raise
    return True


def _remove(name: str, engine: str, cause: BaseException) -> None:
    try:
        _kind(["delete", "cluster", "--name", name], engine, _DELETE_SECONDS)
    except SetupError as error:
        raise SetupError(
            f"{str(cause) or type(cause).__name__}; what was made of it could not be removed:"
            f" {error}: run `kind delete cluster --name {name}`"
        ) from cause


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
    program = shutil.which("kind") or "kind"
    title = f"`kind {arguments[0]} {arguments[1]}`"
    # Also for docker: what the environment says may be another.
    environment = {**os.environ, _PROVIDER: engine}
    try:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
        )
    except OSError as error:
        raise SetupError(f"kind cannot be started: {error.strerror}") from error
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise SetupError(f"{title} did not end in {timeout_seconds:g} s") from error
        finally:
            # Nothing of it goes on while what it made is removed.
            _end(process)
    if process.returncode != 0:
        said = " ".join(errors.split()[-60:]) or f"exit code {process.returncode}"
        raise SetupError(f"{title} failed: {said}")
    return output


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
