"""The policy: every decision point has the published bundle, and can record what it decides."""

from __future__ import annotations

import http
import http.client
import json
import os
from collections.abc import Iterator
from typing import Any

from paymesh.checks.model import Context, Finding, Section
from paymesh.mesh import Workload
from paymesh.policy import condition
from paymesh.policy.condition import Condition

_TIMEOUT_SECONDS = 5.0
_LOWEST_FREE_BYTES = 256 * 1024 * 1024
_QUESTION = "/v1/data/paymesh/objects/decision"
_section = Section("policy")


def check(context: Context) -> Iterator[Finding]:
    """Yields the publisher's state and four findings for each decision point."""
    published, finding = _published(context)
    yield finding
    for workload in context.mesh.services():
        yield from _decision_point(context, workload, published)
    yield _space(context)


def _published(context: Context) -> tuple[str | None, Finding]:
    name = "the policies of this checkout are published"
    try:
        status = json.loads(context.paths.policy_status.read_text("utf-8"))
    except (OSError, ValueError) as error:
        return None, _section.problem(name, f"no status: {error}", "run `paymesh up`")
    if status["state"] != "ok":
        return status.get("revision"), _section.problem(
            name,
            f"the last edit was refused and changed nothing: {status['problem']}",
            "mend the file that it names; it is published when you save it",
        )
    return status["revision"], _section.ok(name)


def _decision_point(
    context: Context, workload: Workload, published: str | None
) -> Iterator[Finding]:
    name = f"{workload.name}'s decision point answers"
    log = f"see `paymesh logs {workload.name}-pdp`"
    try:
        # The supervisor's own: the workload's copy may be a link to what is not the workload's.
        token = context.paths.pdp_token(workload.name).read_text("ascii").strip()
    except OSError as error:
        yield _section.problem(name, f"no token to ask with: {error}", "run `paymesh up`")
        return
    try:
        status, answer = _ask(context, workload, "GET", condition.TARGET, token)
        stranger, _ = _ask(context, workload, "POST", _QUESTION, None)
    except OSError as error:
        yield _section.problem(name, str(error), log)
        return
    except (http.client.HTTPException, ValueError):
        # Its words may have what was sent in them.
        yield _section.problem(name, "it answers with something else than HTTP and JSON", log)
        return
    found = condition.read(answer)
    if status != http.HTTPStatus.OK:
        # Without a policy nobody has decided that it may answer.
        found = Condition(None, faults={"OPA": str(answer.get("message") or f"status {status}")})
    yield _ready(workload, found)
    yield _recorded(context, workload, found)
    yield _section.expect(
        f"{workload.name}'s decision point answers nobody without its token",
        None if stranger == http.HTTPStatus.UNAUTHORIZED else f"it answers {stranger}",
        "compare policies/system/authz.rego with the last revision that was reviewed",
    )
    yield _section.expect(
        f"{workload.name}'s decision point has the published revision",
        _behind(found, published),
        f"see `paymesh logs bundle-server` and `paymesh logs {workload.name}-pdp`",
    )
    yield from _beside(workload, found)


def _beside(workload: Workload, found: Condition) -> Iterator[Finding]:
    """What no decision depends on, where it is configured."""
    shipping = found.notes.get(condition.SHIPPING)
    if shipping is not None:
        name = f"{workload.name}'s decisions are shipped"
        yield (
            _section.warning(name, shipping, "nothing is lost: mend what it names, it goes on")
            if shipping
            else _section.ok(name)
        )
    shadow = found.notes.get(condition.SHADOW)
    if shadow:
        yield _section.warning(
            f"{workload.name}'s decision point asks the shadow policy that is published",
            shadow,
            "no decision depends on it: see `paymesh policy shadow status`",
        )


def _ready(workload: Workload, found: Condition) -> Finding:
    faults = [
        f"{name}: {words}"
        for name, words in sorted(found.faults.items())
        if name != condition.DECISION_LOG
    ]
    if found.revision is None:
        faults.insert(0, "it has no policy")
    return _section.expect(
        f"{workload.name}'s decision point is ready",
        "; ".join(faults) or None,
        f"see `paymesh logs {workload.name}-pdp`",
    )


def _recorded(context: Context, workload: Workload, found: Condition) -> Finding:
    problem = None
    mend = f"see `paymesh logs {workload.name}-pdp`"
    if found.unrecorded is not None:
        problem = f"it refuses calls, because it cannot record them: {found.unrecorded}"
        if condition.is_full(found.unrecorded):
            directory = context.paths.workload(workload.name)
            mend = (
                f"make room on the file system of {directory}, for example by moving away"
                " decisions.jsonl.* that are archived; the next call is recorded without a restart"
            )
    return _section.expect(
        f"{workload.name}'s decision point records what it decides", problem, mend
    )


def _behind(found: Condition, published: str | None) -> str | None:
    """What it has instead of the published revision, and why."""
    if found.refused is not None:
        return f"it has {found.revision or 'none'} and cannot take a later one: {found.refused}"
    if found.revision != published:
        return f"it has {found.revision or 'none'}, published is {published}"
    return None


def _ask(
    context: Context, workload: Workload, method: str, target: str, token: str | None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(
        context.mesh.address, workload.pdp_port, timeout=_TIMEOUT_SECONDS
    )
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        body = b'{"input": {}}' if method == "POST" else None
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        found = json.loads(response.read(condition.MAX_BYTES) or b"{}")
        return response.status, found if isinstance(found, dict) else {}
    finally:
        connection.close()


def _space(context: Context) -> Finding:
    found = os.statvfs(context.paths.home)
    free = found.f_bavail * found.f_frsize
    return _section.expect(
        "there is room for decisions to be recorded",
        None if free >= _LOWEST_FREE_BYTES else f"{free // 2**20} MiB are left",
        f"make room on the file system of {context.paths.home}: what cannot be recorded is refused",
    )
