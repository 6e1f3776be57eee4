"""A signed policy into the cluster, until every decision point enforces it.

The key that signs stays on this machine: the cluster holds the bundle in a ConfigMap
and its public key, and every decision point verifies for itself. The floor is a second
ConfigMap: a pod that starts takes nothing older, although it has no past of its own.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paymesh.kube.client import Cluster
from paymesh.kube.decisions import Answer, DecisionPoints
from paymesh.kube.errors import ClusterError, Conflict, Stuck
from paymesh.kube.home import Home
from paymesh.kube.objects import COMPONENT, MANAGER, PART_OF, Key, Object, decoded
from paymesh.kube.secrets import TRUST
from paymesh.kube.site import Site
from paymesh.mesh import Mesh
from paymesh.policy import bundle, compiler, names, publisher
from paymesh.policy.bundle import Bundle, BundleError
from paymesh.policy.contents import digest
from paymesh.policy.environment import environment

POLICY = "paymesh-policy"
FLOOR = "paymesh-policy-floor"
REVISION = "paymesh.internal/revision"
_POLL_SECONDS = 0.05
# How far the clocks of two machines that publish may be apart.
_AHEAD_MS = 24 * 60 * 60 * 1000


@dataclasses.dataclass(frozen=True)
class Pushed:
    """How it went.

    Attributes:
        revision: that is enforced now.
        changed: false when the checkout's policy was published already.
        pods: how many decision points enforce it.
        seconds: from the write until the last of them did.
    """

    revision: str
    changed: bool
    pods: int
    seconds: float


def policy_key(mesh: Mesh) -> Key:
    """The ConfigMap with the bundle."""
    return Key("v1", "ConfigMap", mesh.kubernetes.namespaces["platform"], POLICY)


def floor_key(mesh: Mesh) -> Key:
    """The ConfigMap with the lowest revision that a fresh pod may take."""
    return Key("v1", "ConfigMap", mesh.namespace, FLOOR)


def published(value: Object | None, home: Home) -> Bundle | None:
    """The bundle in a ConfigMap; None when there is none.

    Raises:
        BundleError: it is damaged, or not signed with this home's key.
    """
    data = decoded(value).get(names.FILE_NAME) if value is not None else None
    return bundle.verify(data, home.bundle_key.public_key()) if data else None


def floor_of(value: Object | None) -> str | None:
    """The revision in the floor's ConfigMap."""
    text = decoded(value).get("revision", b"").decode(errors="replace") if value else ""
    return text.strip() or None


def publish(site: Site, pdp: Path, seen: Iterable[Answer] = ()) -> tuple[str, bool]:
    """Builds, compiles, signs and writes the checkout's policy.

    Args:
        site: where to, from which checkout, signed with which key.
        pdp: the program that compiles.
        seen: what decision points enforce now. They take nothing older, so that a policy
            that somebody set back is published anew under a later revision.

    Returns:
        The revision, and whether anything was written.

    Raises:
        PaymeshError: it does not compile, grants do not fit, or somebody names a revision
            of a time that is far off; then nothing was written.
        Conflict: somebody else published meanwhile.
    """
    cluster, mesh = site.cluster, site.mesh
    files = publisher.collect(site.root, environment_of(site))
    before, floor = cluster.find(policy_key(mesh)), cluster.find(floor_key(mesh))
    try:
        current = published(before, site.home)
    except BundleError:
        # What nobody can enforce is replaced, by something later than whatever it says.
        current = None
    now_ms = time.time_ns() // 1_000_000
    latest = _latest(_named(mesh, floor, seen), current, now_ms)
    if current and current.revision == latest and digest(current.files) == digest(files):
        revision, changed = latest, False
    else:
        asyncio.run(compiler.compile_files(pdp, files))
        revision = bundle.next_revision(files, latest, now_ms)
        _write(cluster, mesh, before, bundle.build(files, revision, site.home.bundle_key))
        changed = True
    return revision, changed


def raise_floor(site: Site, revision: str) -> None:
    """Makes a revision the lowest that a pod without a past may take.

    Only what is enforced everywhere may become it: a decision point that is below the
    floor refuses every call.
    """
    if floor_of(site.cluster.find(floor_key(site.mesh))) != revision:
        site.cluster.apply(_floor(site.mesh, revision), force=True)


def push(site: Site, pdp: Path, *, timeout_seconds: float) -> Pushed:
    """Publishes, waits until every running decision point enforces the revision, and then
    raises the floor to it.

    Raises:
        PaymeshError: as `publish`.
        Stuck: some do not follow; says which and why.
    """
    with DecisionPoints.of(site.cluster, site.mesh) as points:
        # The streams are open before the clock starts.
        site.progress.waiting("decision points to answer")
        seen = points.answers()
        site.progress.waiting("the policy to compile")
        revision, changed = publish(site, pdp, seen)
        started = time.monotonic()
        pods = follow(site, points, revision, timeout_seconds)
        seconds = time.monotonic() - started
        raise_floor(site, revision)
        return Pushed(revision, changed, pods, seconds)


def follow(site: Site, points: DecisionPoints, revision: str, timeout_seconds: float) -> int:
    """Until every running decision point enforces this revision; returns how many do.

    Raises:
        Stuck: some do not; says which and why.
    """
    end = time.monotonic() + timeout_seconds
    while True:
        answers = points.answers()
        behind = [answer for answer in answers if answer.revision != revision]
        if not behind:
            return len(answers)
        site.progress.waiting(f"{len(behind)} of {len(answers)} decision points to follow")
        if time.monotonic() >= end:
            lines = "".join(f"\n  {_why(answer, revision)}" for answer in behind)
            raise Stuck(
                f"{len(behind)} of {len(answers)} decision points do not enforce {revision} after"
                f" {timeout_seconds:g} s; they go on with what they have:{lines}"
            )
        time.sleep(_POLL_SECONDS)


def _why(answer: Answer, wanted: str) -> str:
    """One decision point that does not follow, with what it says of the bundle."""
    if answer.revision is None:
        said = answer.problem or "it has no policy"
    elif answer.revision > wanted:
        said = f"it has {answer.revision}, which is newer: it takes nothing older"
    else:
        said = f"it still has {answer.revision}"
    why = f"; it cannot take another: {answer.refused}" if answer.refused else ""
    return f"{answer.pod}: {said}{why}"


def environment_of(site: Site) -> dict[str, Any]:
    """What the policy has to know of this mesh, with the users' issuer as its gateway has it."""
    trust = site.cluster.find(Key("v1", "ConfigMap", site.mesh.namespace, TRUST))
    found = decoded(trust).get("jwks.json") if trust else None
    return environment(site.mesh, found.decode() if found else site.home.jwks)


@dataclasses.dataclass(frozen=True)
class _Named:
    """A revision that nobody signed; `who` names it, and how to be rid of it."""

    revision: str
    who: str
    mend: str


def _named(mesh: Mesh, floor: Object | None, seen: Iterable[Answer]) -> list[_Named]:
    """What decision points and the floor say."""
    namespace = mesh.namespace
    found = [
        _Named(
            answer.revision,
            f"the decision point of pod {namespace}/{answer.pod}",
            "its word is not to be trusted: find out why, and end it with `kubectl --namespace"
            f" {namespace} delete pod {answer.pod}`",
        )
        for answer in seen
        if answer.revision
    ]
    revision = floor_of(floor)
    if revision:
        where = floor_key(mesh)
        mend = (
            "find out who wrote it, then `kubectl --namespace"
            f" {where.namespace} delete configmap {where.name}`: a push makes it again"
        )
        found.append(_Named(revision, f"ConfigMap {where.namespace}/{where.name}", mend))
    return found


def _latest(named: Iterable[_Named], current: Bundle | None, now_ms: int) -> str | None:
    """The latest revision that a decision point may have seen; what is none of ours does
    not count, nor what stands beside a bundle and is not signed.

    Raises:
        ClusterError: one is of a later day. Nobody may use up the revisions with a word; what
            this home's key has signed is believed, whatever its time.
    """
    signed = current.revision if current else None
    valid = [signed] if signed else []
    for candidate in named:
        try:
            stamp_ms = bundle.stamp_ms(candidate.revision)
        except BundleError:
            continue
        if stamp_ms > now_ms + _AHEAD_MS and candidate.revision != signed:
            raise ClusterError(
                f"{candidate.who} names policy revision {candidate.revision}, which is more than"
                f" a day ahead of this machine's clock: if the clock is right, {candidate.mend};"
                " then push again"
            )
        valid.append(candidate.revision)
    return max(valid, default=None)


def _write(cluster: Cluster, mesh: Mesh, before: Object | None, fresh: Bundle) -> None:
    wanted = policy_key(mesh)
    value: Object = {
        "apiVersion": wanted.api_version,
        "kind": wanted.kind,
        "metadata": {
            "name": wanted.name,
            "namespace": wanted.namespace,
            "labels": {PART_OF: MANAGER, COMPONENT: "platform"},
            "annotations": {REVISION: fresh.revision},
        },
        "binaryData": {names.FILE_NAME: base64.b64encode(fresh.data).decode("ascii")},
    }
    try:
        if before is None:
            cluster.create(value)
        else:
            # Refused when somebody wrote since: nobody's policy is lost unseen.
            value["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
            cluster.replace(value)
    except Conflict as error:
        raise Conflict(
            "somebody else has published a policy at this moment: look at theirs, then push again"
        ) from error


def _floor(mesh: Mesh, revision: str) -> Object:
    wanted = floor_key(mesh)
    return {
        "apiVersion": wanted.api_version,
        "kind": wanted.kind,
        "metadata": {
            "name": wanted.name,
            "namespace": wanted.namespace,
            "labels": {PART_OF: MANAGER, COMPONENT: "workload"},
        },
        "data": {"revision": revision},
    }
