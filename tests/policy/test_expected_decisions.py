"""The policy against the hand-written table, from the files and from a bundle."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from meshkit.currencies import CURRENCIES
from paymesh.grants import load_grants
from paymesh.mesh import Mesh, repository_root
from paymesh.policy import bundle, coverage
from paymesh.policy.contents import contents

from . import calls, table

POLICIES = repository_root() / "policies"
TABLE = table.load()
RPCS = coverage.rpcs(POLICIES / "descriptors.binpb")


@pytest.fixture(scope="module")
def questions(
    mesh: Mesh, issuer_key: ec.EllipticCurvePrivateKey
) -> list[tuple[table.Case, dict[str, Any]]]:
    """Every caller, RPC and user, every message that the table names for them, every amount."""
    bearers = calls.tokens(TABLE.users, mesh, issuer_key, int(time.time()))
    return calls.questions(TABLE, mesh, RPCS, CURRENCIES, bearers)


def decide(
    pdp: Path, scratch: Path, inputs: list[dict[str, Any]], *loaded: str | Path
) -> list[dict[str, Any]]:
    """The decision for each input, all in one run of the program."""
    (scratch / "inputs.json").write_text(json.dumps({"inputs": inputs}))
    query = "[d | some i in input.inputs; d := data.paymesh.authz.decision with input as i]"
    done = subprocess.run(
        [pdp, "eval", *loaded, "--input", scratch / "inputs.json", "--format", "json", query],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    decisions: list[dict[str, Any]] = json.loads(done.stdout)["result"][0]["expressions"][0][
        "value"
    ]
    assert len(decisions) == len(inputs)
    return decisions


def differences(cases: list[table.Case], decisions: list[dict[str, Any]]) -> dict[str, str]:
    """Case → what was decided in place of what was expected."""
    return {
        str(case): f"{decision['reason']}, expected {case.expected}"
        for case, decision in zip(cases, decisions, strict=True)
        if decision["reason"] != case.expected
        or decision["allowed"] != (case.expected == "ALLOWED")
    }


@pytest.fixture(params=["files", "bundle"])
def loaded(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    mesh_environment: dict[str, Any],
    bundle_key: ec.EllipticCurvePrivateKey,
) -> list[str | Path]:
    """Flags that load policies/ as it is, or the bundle with its index in place of the list."""
    if request.param == "bundle":
        files = contents(POLICIES, mesh_environment)
        revision = bundle.next_revision(files, None, 1_700_000_000_000)
        bundle.publish(bundle.build(files, revision, bundle_key), tmp_path)
        return ["--bundle", tmp_path / bundle.FILE_NAME]
    data = tmp_path / "environment.json"
    data.write_text(json.dumps({"paymesh": {"environment": mesh_environment}}))
    return ["--ignore", "pdp", "--ignore", "*_test.rego", "--data", POLICIES, "--data", data]


def test_the_policy_decides_as_the_table_says(
    pdp: Path,
    tmp_path: Path,
    questions: list[tuple[table.Case, dict[str, Any]]],
    loaded: list[str | Path],
) -> None:
    """Every caller, RPC, user and amount gets what the hand-written table expects."""
    decisions = decide(pdp, tmp_path, [document for _, document in questions], *loaded)
    assert differences([case for case, _ in questions], decisions) == {}


def test_the_table_is_about_things_that_exist(mesh: Mesh) -> None:
    """A row for a caller, RPC, message or user that is not there would compare nothing."""
    for row in TABLE.rows:
        assert row["caller"] in mesh.workloads
        assert row["rpc"] in RPCS
        assert row["body"] in TABLE.bodies
        assert isinstance(row["answers"], str) or set(row["answers"]) == set(TABLE.users)
    assert set(TABLE.closed) <= set(RPCS)


def test_every_grant_has_a_row_that_it_allows_and_one_that_it_refuses() -> None:
    """A grant is only understood when somebody wrote down who gets through and who does not."""
    everybody = TABLE.cases([], [])
    allowed: set[tuple[str, str]] = set()
    refused: set[tuple[str, str]] = set()
    for case in everybody:
        (allowed if case.expected == "ALLOWED" else refused).add((case.caller, case.rpc))
    granted = {(grant.caller, grant.rpc) for grant in load_grants().grants}
    assert allowed == granted
    assert granted <= refused
