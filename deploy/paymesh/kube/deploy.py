"""The whole of a deployment, stage by stage; running it again goes on where it stopped."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path

from paymesh.errors import ConfigError
from paymesh.kube import administrator, apply, keep, kustomize, narrow, push, wait
from paymesh.kube.client import Cluster
from paymesh.kube.decisions import DecisionPoints
from paymesh.kube.errors import ClusterError, Conflict, Forbidden, Invalid
from paymesh.kube.objects import Key, Object, decoded, key
from paymesh.kube.site import Site
from paymesh.kube.stages import Stage, in_stages, is_admission
from paymesh.kube.strangers import refuse_strangers
from paymesh.kube.wait import Deadline

# Native sidecars are on by default since 1.29, ValidatingAdmissionPolicy is v1 since 1.30.
_OLDEST = ((1, 30), "sidecars and admission policies")
# A kubelet that shows its pods to who may not run commands in them: KEP-2862, beta in 1.33.
_OLDEST_WITH_SPIRE = ((1, 33), "the SPIRE agent's right to see pods, and no more of them")
_FIRST_OVERLAY = "kind"
_RETRY_SECONDS = 1.0
_FOLLOW_SECONDS = 30.0
_WAITED_FOR = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job"})


@dataclasses.dataclass(frozen=True)
class Deployed:
    """How it went: the policy's revision, how many objects were applied, what was removed."""

    revision: str
    applied: int
    pruned: list[str]
    seconds: float


def overlay_directory(root: Path, overlay: str) -> Path:
    """`kind` and `production` are overlays of the checkout; anything else is a directory."""
    known = root / "deploy" / "k8s" / "overlays" / overlay
    return known if "/" not in overlay and known.is_dir() else Path(overlay)


def overlay_for(site: Site, wanted: str | None, *, change: bool = False) -> Path:
    """The overlay of a next deployment.

    Args:
        site: where.
        wanted: by name or directory; when left out, the one that the cluster has, and `kind`
            before the first.
        change: whether it may be another one than the cluster has.

    Raises:
        ConfigError: it is another one, or what the cluster has is not in this checkout.
    """
    known = _recorded(site)
    if wanted is None:
        found = overlay_directory(site.root, _FIRST_OVERLAY) if not known else site.root / known
        if not found.is_dir():
            raise ConfigError(
                f"context {site.cluster.context!r} has overlay {known}, which is not there:"
                " name one with --overlay, and add --change-overlay"
            )
        return found
    overlay = overlay_directory(site.root, wanted)
    if known and not change and _name(site, overlay) != known:
        raise ConfigError(
            f"context {site.cluster.context!r} has overlay {_short(known)!r}, not"
            f" {_short(_name(site, overlay))!r}: leave --overlay out to keep it, or add"
            " --change-overlay to replace it"
        )
    return overlay


def oldest(built: Iterable[Object]) -> tuple[tuple[int, int], str]:
    """The Kubernetes that a build needs, major and minor, and what for."""
    agent = ("DaemonSet", "spire-agent")
    has_agent = any((value["kind"], value["metadata"]["name"]) == agent for value in built)
    return _OLDEST_WITH_SPIRE if has_agent else _OLDEST


def require_version(cluster: Cluster, built: Iterable[Object]) -> None:
    """Refuses a cluster that is too old for a build.

    Raises:
        ClusterError: it is.
    """
    found, (needed, reason) = cluster.version(), oldest(built)
    if found < needed:
        raise ClusterError(
            f"the cluster of context {cluster.context!r} is Kubernetes {found[0]}.{found[1]};"
            f" {needed[0]}.{needed[1]} or later is needed for {reason}"
        )


def narrowed(cluster: Cluster, objects: list[Object]) -> list[Object]:
    """Objects of a build with the API server's own addresses where policies name it."""
    found = narrow.current(cluster)
    return [
        narrow.narrowed(value, found) if value["kind"] == "NetworkPolicy" else value
        for value in objects
    ]


class Deployment:
    """One run.

    Args:
        site: where, what and with which keys.
        pdp: the program that compiles policies.
        timeout_seconds: for all of it.
        take_over: sets back fields that others have changed.
    """

    def __init__(
        self, site: Site, pdp: Path, *, timeout_seconds: float, take_over: bool = False
    ) -> None:
        self._site = site
        self._pdp = pdp
        self._deadline = Deadline(timeout_seconds)
        self._take_over = take_over
        self._contents: keep.Contents = {}

    def run(self, overlay: Path) -> Deployed:
        """Brings the cluster to what the overlay says.

        Raises:
            PaymeshError: what could not be done, and why.
        """
        site, started = self._site, time.monotonic()
        site.progress.waiting(f"kustomize to build {overlay}")
        built = narrowed(site.cluster, kustomize.build(overlay))
        require_version(site.cluster, built)
        refuse_strangers(site.cluster, built)
        revision = ""
        for stage, objects in in_stages(built, _standing(site.cluster, built)).items():
            if stage is Stage.SPIRE_SERVER:
                site.progress.waiting("the cluster to take Secrets")
                self._contents = keep.keep(site, built)
                site.progress.done("Secrets and trust")
            if stage is Stage.POLICY:
                revision, _ = push.publish(site, self._pdp)
                site.progress.done(f"policy {revision}")
            self._stage(stage, objects)
            if stage is Stage.NAMESPACES:
                # So that what goes on after an interruption is the same overlay.
                _record(site, overlay, is_done=False)
        pruned = apply.prune(site.cluster, built, site.namespaces)
        _record(site, overlay, is_done=True)
        for removed in pruned:
            site.progress.note(f"removed {removed}, which this build has no longer")
        with DecisionPoints.of(site.cluster, site.mesh) as points:
            push.follow(site, points, revision, _FOLLOW_SECONDS)
        push.raise_floor(site, revision)
        seconds = time.monotonic() - started
        return Deployed(revision, len(built), [str(removed) for removed in pruned], seconds)

    def _stage(self, stage: Stage, objects: list[Object]) -> None:
        if not objects:
            return
        cluster, progress = self._site.cluster, self._site.progress
        progress.waiting(f"the cluster to take {stage.title}")
        for value in objects:
            self._apply(stage, value)
        keys = [key(value) for value in objects]
        if stage is Stage.DEFINITIONS:
            wait.established(cluster, keys, progress, self._deadline)
        waited_for = [wanted for wanted in keys if wanted.kind in _WAITED_FOR]
        wait.rollouts(cluster, waited_for, progress, self._deadline)
        if stage is Stage.DATABASE:
            administrator.keep_password(self._site, self._contents)
        progress.done(stage.title)

    def _apply(self, stage: Stage, value: Object) -> None:
        """Identities are verified by the controller manager itself, which takes a moment to
        answer after it is ready.
        """
        cluster, progress = self._site.cluster, self._site.progress
        if value["kind"] == "Job":
            stamp = self._job_stamp(stage, value)
            apply.apply_job(cluster, value, stamp, progress, self._deadline)
            return
        wanted = apply.with_inputs(value, self._contents)
        while True:
            try:
                apply.apply(cluster, wanted, take_over=self._take_over)
            except (Conflict, Forbidden, Invalid):
                raise
            except ClusterError as error:
                if stage is not Stage.IDENTITIES or self._deadline.is_over:
                    raise
                progress.waiting(f"SPIRE's controller manager: {error}")
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _job_stamp(self, stage: Stage, job: Object) -> str:
        """Of what a Job works on besides its template: Secrets, the volume, and the migrations
        that its image was built from, because an image that is built again keeps its name.
        """
        root = self._site.root
        claims = self._site.cluster.items("v1", "PersistentVolumeClaim", self._site.platform)
        found = [apply.inputs_of(job, self._contents)]
        # A new volume is an empty one.
        found += sorted(claim["metadata"]["uid"] for claim in claims)
        if stage is Stage.MIGRATIONS:
            files = sorted((root / "services").glob("*/migrations/**/*.sql"))
            found += [
                apply.fingerprint([file.relative_to(root).as_posix(), file.read_text("utf-8")])
                for file in files
            ]
        return apply.fingerprint(found)


def record_key(site: Site) -> Key:
    """The ConfigMap that says what was deployed."""
    return Key("v1", "ConfigMap", site.platform, apply.RECORD)


def deployed_overlay(site: Site) -> str | None:
    """The overlay of the last deployment that came to its end; None before the first."""
    return _record_of(site).get("overlay")


def _recorded(site: Site) -> str | None:
    """The overlay of the last deployment, also of one that was interrupted."""
    found = _record_of(site)
    return found.get("begun") or found.get("overlay")


def _record_of(site: Site) -> dict[str, str]:
    found = site.cluster.find(record_key(site))
    return {name: data.decode() for name, data in decoded(found).items()} if found else {}


def _standing(cluster: Cluster, built: Iterable[Object]) -> frozenset[Key]:
    """The admission policies and bindings of a build that the cluster has."""
    places = [key(value) for value in built if is_admission(value)]
    return frozenset(place for place in places if cluster.find(place) is not None)


def _name(site: Site, overlay: Path) -> str:
    """As it is recorded: within the checkout if it is there."""
    found, root = overlay.resolve(), site.root.resolve()
    return (found.relative_to(root) if found.is_relative_to(root) else found).as_posix()


def _short(name: str) -> str:
    """As the user names it."""
    return name.removeprefix("deploy/k8s/overlays/")


def _record(site: Site, overlay: Path, *, is_done: bool) -> None:
    wanted, name = record_key(site), _name(site, overlay)
    before = deployed_overlay(site)
    begun = {"begun": name, **({"overlay": before} if before else {})}
    value = {
        "apiVersion": wanted.api_version,
        "kind": wanted.kind,
        "metadata": keep.metadata(wanted.namespace, wanted.name),
        "data": {"overlay": name} if is_done else begun,
    }
    site.cluster.apply(value, force=True)
