"""The policies of the arms of `paymesh attack-paths` can be published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paymesh.attack.arms import policy
from paymesh.policy import compiler, publisher


@pytest.mark.parametrize("arm", ["A", "C", "D"])
async def test_an_arms_policy_compiles(
    checkout: Path, mesh_environment: dict[str, Any], pdp: Path, arm: str
) -> None:
    """The decision point's compiler takes the bundle, and the grants pass their check."""
    if arm == "D":
        policy.drop_conditions(checkout, "D")
    else:
        policy.grant_everything(checkout, "C")
    if arm == "A":
        policy.believe_claims(checkout)
    await compiler.compile_files(pdp, publisher.collect(checkout, mesh_environment))
