"""Grants that name things that do not exist, and RPCs that nobody thought about."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from paymesh.errors import ConfigError
from paymesh.grants import Grant, Grants, load_grants
from paymesh.mesh import Mesh, repository_root
from paymesh.policy import coverage

POLICIES = repository_root() / "policies"
RPCS = coverage.rpcs(POLICIES / "descriptors.binpb")
CONDITIONS = coverage.conditions(POLICIES)
GRANTS = load_grants()


def refusal(mesh: Mesh, grants: Grants) -> str:
    """What the check says about these grants."""
    with pytest.raises(ConfigError) as caught:
        coverage.check(mesh, grants, RPCS, CONDITIONS)
    return str(caught.value)


def with_grant(**changes: object) -> Grants:
    """The grants with one more, made of the first."""
    extra = dataclasses.replace(GRANTS.grants[0], id="extra", **changes)  # type: ignore[arg-type]
    return Grants((*GRANTS.grants, extra), GRANTS.closed)


def test_the_committed_grants_cover_every_rpc(mesh: Mesh) -> None:
    """What is in the repository passes its own check."""
    coverage.check(mesh, GRANTS, RPCS, CONDITIONS)


def test_health_and_reflection_count_as_rpcs() -> None:
    """What every server speaks besides its own protos needs a decision too."""
    assert {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/paymesh.payments.v1.PaymentsService/CreatePayment",
    } <= set(RPCS)


@pytest.mark.parametrize("grant", GRANTS.grants, ids=lambda grant: grant.id)
def test_an_rpc_that_loses_its_last_grant_is_named(mesh: Mesh, grant: Grant) -> None:
    """Taking a grant away without closing its RPC is refused, for each of them."""
    left = tuple(other for other in GRANTS.grants if other.rpc != grant.rpc)
    text = refusal(mesh, Grants(left, GRANTS.closed))
    assert text.startswith(f"policies/paymesh/grants/data.yaml: {grant.rpc} is neither granted")
    assert "add a grant" in text


@pytest.mark.parametrize("rpc", sorted(GRANTS.closed))
def test_an_rpc_that_is_no_longer_closed_is_named(mesh: Mesh, rpc: str) -> None:
    """Removing a line under `closed` without a grant is refused, for each of them."""
    left = {other: why for other, why in GRANTS.closed.items() if other != rpc}
    assert f"{rpc} is neither granted nor closed" in refusal(mesh, Grants(GRANTS.grants, left))


def test_an_rpc_that_does_not_exist_is_named(mesh: Mesh) -> None:
    """A grant or a closed line for a misspelt RPC is refused."""
    rpc = "/paymesh.payments.v1.PaymentsService/CreatePayments"
    assert f"grant extra: {rpc} does not exist" in refusal(mesh, with_grant(rpc=rpc))
    closed = Grants(GRANTS.grants, {**GRANTS.closed, rpc: "gone"})
    assert f"{rpc} is closed but does not exist" in refusal(mesh, closed)


def test_a_caller_that_does_not_exist_is_named(mesh: Mesh) -> None:
    """A grant to nobody is refused, and the callers there are get listed."""
    text = refusal(mesh, with_grant(caller="payment"))
    assert "grant extra: 'payment' is no workload of deploy/mesh.yaml, which has gateway" in text


def test_a_condition_that_does_not_exist_is_named(mesh: Mesh) -> None:
    """A misspelt condition would refuse every call at run time; here it is refused sooner."""
    text = refusal(mesh, with_grant(conditions=("user_is_custmer",)))
    assert "grant extra: there is no condition 'user_is_custmer'" in text


def test_a_grant_and_a_closed_line_contradict_each_other(mesh: Mesh) -> None:
    """An RPC is granted or closed, not both."""
    rpc = GRANTS.grants[0].rpc
    both = Grants(GRANTS.grants, {**GRANTS.closed, rpc: "closed"})
    assert f"{rpc} is closed and granted" in refusal(mesh, both)


def test_a_grant_without_a_reason_is_refused(mesh: Mesh) -> None:
    """`why` is for the reviewer and may not be blank."""
    assert "grant extra: say why" in refusal(mesh, with_grant(why=" "))


def test_everything_that_is_wrong_is_said_at_once(mesh: Mesh) -> None:
    """One line for each problem, so that nobody mends them one run at a time."""
    text = refusal(mesh, with_grant(caller="nobody", conditions=("no", "nothing")))
    assert len(text.splitlines()) == 3


def test_conditions_are_found_in_the_rego() -> None:
    """The names are those that the rules have, helpers left out."""
    assert "user_is_customer" in CONDITIONS
    assert {name for grant in GRANTS.grants for name in grant.conditions} <= CONDITIONS
    assert not any(name.startswith("_") for name in CONDITIONS)


def test_missing_files_are_a_sentence(tmp_path: Path) -> None:
    """Neither a missing nor a damaged descriptor set is a traceback."""
    with pytest.raises(ConfigError, match="run `make render`"):
        coverage.rpcs(tmp_path / "descriptors.binpb")
    (tmp_path / "descriptors.binpb").write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match="run `make render`"):
        coverage.rpcs(tmp_path / "descriptors.binpb")
    with pytest.raises(ConfigError, match=r"conditions\.rego cannot be read"):
        coverage.conditions(tmp_path)
