"""What a decision point's answer says, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from paymesh.kube.decisions import Answer, DecisionPoint
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_REVISION = "1700000000000-0123456789ab"


@pytest.mark.parametrize(
    ("found", "revision"),
    [
        ({"result": {"bundles": {"paymesh": {"active_revision": _REVISION}}}}, _REVISION),
        ({"result": {"bundles": {"other": {"active_revision": _REVISION}}}}, None),
        ({"result": {"bundles": {"paymesh": {"active_revision": 17}}}}, None),
        ({"result": {"bundles": ["paymesh"]}}, None),
        ({"result": "none"}, None),
        ({}, None),
    ],
)
def test_an_answer_of_another_form_is_no_policy(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], revision: str | None
) -> None:
    """One that is not as ours answer does not end the question to the others."""
    point = DecisionPoint(None, _MESH, _MESH.workloads["ledger"], "pod")  # type: ignore[arg-type]
    monkeypatch.setattr(point, "ask", lambda *_: (200, found))
    answer = point.revision("token")
    assert (answer.revision, answer.problem is None) == (revision, revision is not None)
    assert (answer.refused, answer.unrecorded) == (None, None)


def test_an_answer_has_what_the_decision_point_says_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why it did not take the last bundle, and why it cannot record, in its own words."""
    found = {
        "result": {
            "bundles": {
                "paymesh": {"active_revision": _REVISION, "code": "bundle_error", "message": "bad"}
            },
            "plugins": {"paymesh_decision_log": {"state": "ERROR", "message": "full"}},
        }
    }
    point = DecisionPoint(None, _MESH, _MESH.workloads["ledger"], "pod")  # type: ignore[arg-type]
    monkeypatch.setattr(point, "ask", lambda *_: (200, found))
    assert point.revision("token") == Answer("pod", "ledger", _REVISION, None, "bad", "full")
