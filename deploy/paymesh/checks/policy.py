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

_TIMEOUT_SECONDS = 5.0
_LOWEST_FREE_BYTES = 256 * 1024 * 1024
_QUESTION = "/v1/data/paymesh/objects/decision"
_section = Section("policy")


def check(context: Context) -> Iterator[Finding]:
    """Yields the publisher's state and three findings for each decision point."""
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
    token = (context.paths.workload(workload.name) / "pdp-token").read_text("utf-8").strip()
    log = f"see `paymesh logs {workload.name}-pdp`"
    try:
        status, _ = _ask(context, workload, "GET", "/health?plugins&bundles", token)
        stranger, _ = _ask(context, workload, "POST", _QUESTION, None)
        _, answer = _ask(context, workload, "POST", f"{_QUESTION}?provenance", token)
    except (OSError, http.client.HTTPException) as error:
        yield _section.problem(f"{workload.name}'s decision point answers", str(error), log)
        return
    yield _section.expect(
        f"{workload.name}'s decision point is ready",
        None if status == http.HTTPStatus.OK else f"its health is {status}",
        log,
    )
    yield _section.expect(
        f"{workload.name}'s decision point answers nobody without its token",
        None if stranger == http.HTTPStatus.UNAUTHORIZED else f"it answers {stranger}",
        "compare policies/system/authz.rego with the last revision that was reviewed",
    )
    bundles = answer.get("provenance", {}).get("bundles", {})
    active = bundles.get("paymesh", {}).get("revision")
    yield _section.expect(
        f"{workload.name}'s decision point has the published revision",
        None if active == published else f"it has {active}, published is {published}",
        f"see `paymesh logs bundle-server` and `paymesh logs {workload.name}-pdp`",
    )


def _ask(
    context: Context, workload: Workload, method: str, target: str, token: str | None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(
        context.mesh.address, workload.pdp_port, timeout=_TIMEOUT_SECONDS
    )
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        # An empty question: it is refused, and the answer says by which policy.
        body = b'{"input": {}}' if method == "POST" else None
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        found = json.loads(response.read(65536) or b"{}")
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
