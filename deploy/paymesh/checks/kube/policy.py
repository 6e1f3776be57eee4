"""The policy: signed by us, not set back, and enforced by every decision point."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from http import HTTPStatus

from paymesh.checks.kube.model import Look
from paymesh.checks.model import Finding, Section
from paymesh.errors import PaymeshError
from paymesh.kube import push
from paymesh.kube.decisions import QUESTION, Answer, DecisionPoint, DecisionPoints
from paymesh.kube.errors import ClusterError
from paymesh.policy import publisher
from paymesh.policy.bundle import Bundle, BundleError
from paymesh.policy.contents import digest

_PUSH = "run `paymesh policy push`"
_section = Section("policy")


def check(look: Look) -> Iterator[Finding]:
    """Yields what is published, and what each decision point makes of it."""
    stored = look.cluster.find(push.policy_key(look.mesh))
    published, problem = None, None
    try:
        published = push.published(stored, look.site.home)
    except BundleError as error:
        problem = f"{error}; no decision point takes it, each goes on with what it has"
    if published is None and problem is None:
        problem = "there is none"
    yield _section.expect("the published policy is signed with this home's key", problem, _PUSH)
    floor = push.floor_of(look.cluster.find(push.floor_key(look.mesh)))
    if published is not None:
        yield _not_below_floor(published, floor)
        yield _of_checkout(look, published)
    with DecisionPoints.of(look.cluster, look.mesh) as points:
        yield from _decision_points(look, points, published, floor)


def _not_below_floor(published: Bundle, floor: str | None) -> Finding:
    name = "the published policy is no older one"
    if floor is None:
        return _section.warning(
            name, "nothing says which is the oldest that a new pod may take", _PUSH
        )
    older = published.revision < floor
    return _section.expect(
        name,
        f"{published.revision} is published, and {floor} has been: every decision point refuses it"
        if older
        else None,
        f"find out who set it back, then {_PUSH}",
    )


def _of_checkout(look: Look, published: Bundle) -> Finding:
    name = "the policies of this checkout are published"
    try:
        files = publisher.collect(look.site.root, push.environment_of(look.site))
    except PaymeshError as error:
        return _section.warning(name, f"they would be refused: {error}", "mend what it names")
    if digest(files) == digest(published.files):
        return _section.ok(name)
    return _section.warning(name, f"{published.revision} is published, and differs", _PUSH)


def _decision_points(
    look: Look, points: DecisionPoints, published: Bundle | None, floor: str | None
) -> Iterator[Finding]:
    for point in points.running():
        answer = point.revision(points.token(point.workload))
        yield _section.expect(
            f"{point.pod} enforces the published policy",
            not_enforced(answer, published.revision if published else None, floor),
            f"see `kubectl --namespace {look.mesh.namespace} logs {point.pod} --container pdp`",
        )
        if answer.problem is None:
            yield _recorded(look, answer)
        yield _stranger(point)


def _recorded(look: Look, answer: Answer) -> Finding:
    return _section.expect(
        f"{answer.pod} records what it decides",
        f"it refuses calls, because it cannot record them: {answer.unrecorded}"
        if answer.unrecorded
        else None,
        f"see `kubectl --namespace {look.mesh.namespace} logs {answer.pod} --container pdp`",
    )


def not_enforced(answer: Answer, published: str | None, floor: str | None) -> str | None:
    """Why a decision point does not enforce what is published, in words; None when it does.

    Args:
        answer: of the decision point.
        published: the revision of the good bundle; None when there is none.
        floor: the oldest revision that a fresh pod may take.
    """
    if answer.revision is None:
        return answer.problem or "it has no policy"
    if published is None:
        if floor is not None and answer.revision < floor:
            return f"it enforces {answer.revision}, which is older than {floor}"
        return None
    if answer.revision == published:
        return None
    if answer.revision > published:
        return (
            f"it enforces {answer.revision} and refuses {published}, which is older:"
            " a policy was set back"
        )
    why = f", for it cannot take a later one: {answer.refused}" if answer.refused else ""
    return f"it still enforces {answer.revision}, published is {published}{why}"


def _stranger(point: DecisionPoint) -> Finding:
    name = f"{point.pod}'s decision point answers nobody without its token"
    try:
        status, _ = point.ask("POST", QUESTION, None)
    except (OSError, http.client.HTTPException, ClusterError, ValueError) as error:
        return _section.problem(name, str(error), "see the line above")
    return _section.expect(
        name,
        None if status == HTTPStatus.UNAUTHORIZED else f"it answers {status}",
        "compare policies/system/authz.rego with the last revision that was reviewed",
    )
