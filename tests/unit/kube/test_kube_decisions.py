"""What a decision point's answer says, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from paymesh.kube.decisions import DecisionPoint
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_REVISION = "1700000000000-0123456789ab"


@pytest.mark.parametrize(
    ("found", "revision"),
    [
        ({"provenance": {"bundles": {"paymesh": {"revision": _REVISION}}}}, _REVISION),
        ({"provenance": {"bundles": {"other": {"revision": _REVISION}}}}, None),
        ({"provenance": {"bundles": {"paymesh": {"revision": 17}}}}, None),
        ({"provenance": {"bundles": ["paymesh"]}}, None),
        ({"provenance": "none"}, None),
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
