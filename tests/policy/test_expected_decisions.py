"""The policy against the hand-written table, from the files and from a bundle."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.grants import load_grants
from paymesh.mesh import Mesh, repository_root
from paymesh.policy import bundle, coverage
from paymesh.policy.contents import contents
from paymesh.runtime.issuer import jwk

from . import table

POLICIES = repository_root() / "policies"
TABLE = table.load()
RPCS = coverage.rpcs(POLICIES / "descriptors.binpb")


@pytest.fixture(scope="module")
def cases(mesh: Mesh) -> list[table.Case]:
    """Every caller, RPC and user, and every message that the table names for them."""
    return list(TABLE.cases(mesh.workloads, RPCS))


@pytest.fixture(scope="module")
def tokens(mesh: Mesh, issuer_key: ec.EllipticCurvePrivateKey) -> dict[str, str | None]:
    """A bearer token for each user of the table."""
    forger = ec.generate_private_key(ec.SECP256R1())
    headers = {"kid": jwk(issuer_key.public_key())["kid"]}
    now = int(time.time())
    found: dict[str, str | None] = {}
    for name, user in TABLE.users.items():
        if user is None:
            found[name] = None
            continue
        claims = {
            "iss": mesh.users.issuer,
            "aud": mesh.users.audience,
            "iat": now - 100,
            "exp": now - 10 if user.get("expired") else now + 600,
            **{claim: user[claim] for claim in ("sub", "tenant", "roles")},
        }
        key = forger if user.get("forged") else issuer_key
        found[name] = jwt.encode(claims, key, algorithm="ES256", headers=headers)
    return found


@pytest.fixture(scope="module")
def inputs(
    mesh: Mesh, cases: list[table.Case], tokens: dict[str, str | None]
) -> list[dict[str, Any]]:
    """What Envoy would send for each case."""
    return [
        document(mesh.spiffe_id(case.caller), case.rpc, tokens[case.user], TABLE.bodies[case.body])
        for case in cases
    ]


def document(principal: str, rpc: str, token: str | None, body: Any) -> dict[str, Any]:
    """The input of one call, in the form of the OPA-Envoy contract."""
    headers = {"content-type": "application/grpc"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {
        "attributes": {
            "source": {"principal": principal},
            "request": {"http": {"method": "POST", "path": rpc, "headers": headers}},
        },
        "parsed_body": body,
        "truncated_body": False,
    }


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
    cases: list[table.Case],
    inputs: list[dict[str, Any]],
    loaded: list[str | Path],
) -> None:
    """Every caller, RPC and user gets what the hand-written table expects."""
    assert differences(cases, decide(pdp, tmp_path, inputs, *loaded)) == {}


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
