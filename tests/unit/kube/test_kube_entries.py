"""What `check --kube` makes of the statistics of a ClusterSPIFFEID."""

from __future__ import annotations

import pytest
from kube_fakes import made

from paymesh.checks.kube.spire import _entries
from paymesh.checks.model import Level


@pytest.mark.parametrize(
    ("stats", "problem"),
    [
        ({}, None),
        ({"namespacesIgnored": 3, "entriesToSet": 2}, None),
        ({"podEntryRenderFailures": 1}, "1 podEntryRenderFailures"),
        ({"entryFailures": 2, "entriesMasked": 1}, "2 entryFailures, 1 entriesMasked"),
    ],
)
def test_failures_are_named(stats: dict[str, int], problem: str | None) -> None:
    """Ignored namespaces are as they should be; anything that failed is a problem."""
    found = _entries(made("ClusterSPIFFEID", "ledger", "", status={"stats": stats}))
    assert (found.problem, found.level is Level.OK) == (problem, problem is None)
