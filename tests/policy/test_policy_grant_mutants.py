"""What is done to the grants to see whether anybody notices."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from meshkit.currencies import CURRENCIES
from paymesh.grants import load_grants
from paymesh.mesh import Mesh, repository_root
from paymesh.policy import coverage

from . import grant_mutants

POLICIES = repository_root() / "policies"
GRANTS = POLICIES / "paymesh/grants/data.yaml"


@pytest.fixture(scope="module")
def mutants(mesh: Mesh) -> list[dict[str, Any]]:
    """Every mutant of the grants."""
    around = grant_mutants.Surroundings(
        mesh,
        tuple(coverage.rpcs(POLICIES / "descriptors.binpb")),
        tuple(sorted(coverage.conditions(POLICIES))),
        tuple(sorted(CURRENCIES)),
        (),
    )
    return grant_mutants.mutants(GRANTS, "data.yaml", around)


def test_every_grant_is_dropped_widened_and_loosened(mutants: list[dict[str, Any]]) -> None:
    """Each grant gets each kind of mutant once at least; a condition is dropped once."""
    found = collections.Counter((mutant["rule"], mutant["operator"]) for mutant in mutants)
    for grant in load_grants().grants:
        for operator in ("drop grant", "swap caller", "widen caller", "swap rpc", "widen rpc"):
            assert found[grant.id, operator] >= 1, (grant.id, operator)
        assert found[grant.id, "drop condition"] == len(grant.conditions)


def test_every_limit_and_closed_line_is_broken(mutants: list[dict[str, Any]]) -> None:
    """Limits are raised, lowered, dropped and added to; closed lines dropped and opened."""
    found = collections.Counter(mutant["operator"] for mutant in mutants)
    assert found["raise limit"] == found["lower limit"] == found["drop currency"] > 0
    assert found["add currency"] == 3
    assert found["drop closed"] == len(load_grants().closed)
    assert found["open closed"] > found["drop closed"]


def test_a_mutant_names_the_line_that_it_is_about(mutants: list[dict[str, Any]]) -> None:
    """What is replaced stands on the line."""
    lines = GRANTS.read_text(encoding="utf-8").splitlines()
    for mutant in mutants:
        if mutant["operator"] != "add currency":
            assert mutant["old"] in lines[mutant["line"] - 1]


def test_mutants_differ_from_the_grants_and_from_each_other(mutants: list[dict[str, Any]]) -> None:
    """No mutant is counted twice, and none is the file itself."""
    documents = [repr(mutant["grants"]) for mutant in mutants]
    assert len(set(documents)) == len(documents)
    assert repr(grant_mutants.yaml.safe_load(GRANTS.read_text())) not in documents


def test_what_publishing_refuses_is_known(mutants: list[dict[str, Any]]) -> None:
    """An RPC that is neither granted nor closed any more is refused; a wider grant is not."""
    refused = {mutant["operator"] for mutant in mutants if mutant["refused"]}
    assert "drop closed" in refused
    assert not refused & {"widen caller", "drop condition", "raise limit", "open closed"}
    dropped = next(mutant for mutant in mutants if mutant["operator"] == "drop closed")
    assert "neither granted nor closed" in dropped["refused"]
