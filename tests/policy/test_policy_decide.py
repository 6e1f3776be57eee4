"""Questions to a policy that is not running."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paymesh.errors import SetupError
from paymesh.mesh import Mesh, repository_root
from paymesh.policy import candidate, coverage, engine

from . import table
from .calls import document

POLICIES = repository_root() / "policies"
TABLE = table.load()
RPCS = coverage.rpcs(POLICIES / "descriptors.binpb")
LIST_LINKS = "/paymesh.bank_link.v1.BankLinkService/ListLinks"
MOMENT_S = 1_790_000_000
MOMENT = "2026-09-21T14:13:20Z"


@pytest.fixture(scope="module")
def bundle(mesh_environment: dict[str, Any]) -> Iterator[Path]:
    """The checkout's policy, unpacked."""
    with candidate.unpacked(candidate.load(str(POLICIES), mesh_environment)) as directory:
        yield directory


def facts(mesh: Mesh, environment: dict[str, Any], user: dict[str, Any] | None) -> Any:
    """What the decision log says of a user's token."""
    if user is None:
        return None
    key = json.loads(environment["users"]["jwks"])["keys"][0]["kid"]
    return {
        "scheme": "bearer",
        "signature": "invalid" if user.get("forged") else "valid",
        **({} if user.get("forged") else {"key": key}),
        "header": {"alg": "ES256", "kid": key, "typ": "JWT"},
        "claims": {
            "iss": mesh.users.issuer,
            "aud": mesh.users.audience,
            "iat": MOMENT_S - 100,
            "exp": MOMENT_S - 10 if user.get("expired") else MOMENT_S + 600,
            **{claim: user[claim] for claim in ("sub", "tenant", "roles")},
        },
        "withheld": [],
    }


def question(mesh: Mesh, environment: dict[str, Any], case: table.Case) -> dict[str, Any]:
    """A case as a record has it: the header is erased, the token's facts stand beside."""
    spiffe_id = mesh.spiffe_id(case.caller)
    token = facts(mesh, environment, TABLE.users[case.user])
    asked = document(spiffe_id, case.rpc, None, copy.deepcopy(TABLE.bodies[case.body]))
    if token is not None:
        asked["attributes"]["request"]["http"]["headers"]["authorization"] = None
    return {"id": str(case), "input": asked, "token": token, "time": MOMENT}


def test_recorded_facts_decide_as_the_token_did(
    pdp: Path, mesh: Mesh, mesh_environment: dict[str, Any], bundle: Path
) -> None:
    """Every caller, RPC and user of the table gets the same answer without a token."""
    cases = list(TABLE.cases(mesh.workloads, RPCS))
    asked = [question(mesh, mesh_environment, case) for case in cases]
    answers = list(engine.decide(pdp, bundle, asked))
    assert [answer.id for answer in answers] == [str(case) for case in cases]
    found = {answer.id: (answer.values[engine.AUTHZ]["reason"], answer.error) for answer in answers}
    assert found == {str(case): (case.expected, "") for case in cases}


def test_the_time_is_the_records(
    pdp: Path, mesh: Mesh, mesh_environment: dict[str, Any], bundle: Path
) -> None:
    """A token that has ended since then is good in a question about then."""
    case = table.Case("gateway", LIST_LINKS, "empty", "customer", "ALLOWED")
    asked = question(mesh, mesh_environment, case)
    late = {**asked, "time": "2026-09-21T14:23:20Z"}
    answers = engine.decide(pdp, bundle, [asked, late])
    reasons = [answer.values[engine.AUTHZ]["reason"] for answer in answers]
    assert reasons == ["ALLOWED", "USER_TOKEN_EXPIRED"]


def test_several_questions_to_one_input(pdp: Path, bundle: Path) -> None:
    """Each query has its value, an undefined one has none, and a trace is there when asked for."""
    queries = [engine.AUTHZ, "data.paymesh.authz.caller", "count(data.paymesh.grants.closed)"]
    (answer,) = engine.decide(pdp, bundle, [{"id": "a", "input": {}}], queries, trace=True)
    assert answer.values[engine.AUTHZ]["reason"] == "NO_CALLER_IDENTITY"
    assert "data.paymesh.authz.caller" not in answer.values
    assert answer.values[queries[2]] > 0
    assert "data.paymesh.authz.decision" in answer.trace


def test_a_bad_question_is_answered_with_its_error(pdp: Path, bundle: Path) -> None:
    """One question that cannot be read does not keep the others from their answers."""
    token = {"scheme": "bearer", "signature": "valid", "key": "nobody's"}
    asked: list[Any] = [{"id": "a", "input": [], "token": token}, {"id": "b", "input": {}}]
    bad, good = engine.decide(pdp, bundle, asked)
    assert "token has no place" in bad.error
    assert (good.id, good.error) == ("b", "")
    asked[0]["input"] = {}
    assert "nobody's" in next(iter(engine.decide(pdp, bundle, asked))).error


def test_a_policy_that_does_not_compile_is_named(pdp: Path, tmp_path: Path) -> None:
    """The compiler's own words, and no answer."""
    (tmp_path / "a.rego").write_text("package a\n\nb := no_such_rule\n")
    with pytest.raises(SetupError, match="no_such_rule"):
        list(engine.decide(pdp, tmp_path, [{"id": "a", "input": {}}]))


def test_what_is_read_and_not_recorded_is_named(
    pdp: Path, mesh: Mesh, mesh_environment: dict[str, Any], bundle: Path
) -> None:
    """An erased field counts where the policy looks, and nowhere else."""
    payment = "/paymesh.payments.v1.PaymentsService/CreatePayment"
    case = table.Case("gateway", payment, "payment", "customer", "ALLOWED")
    asked = question(mesh, mesh_environment, case)
    asked["input"]["parsed_body"]["description"] = None
    asked["input"]["attributes"]["request"]["http"]["host"] = None
    erased = copy.deepcopy(asked)
    erased["input"]["parsed_body"]["amount"]["minorUnits"] = None
    erased["token"]["withheld"] = ["email", "tenant"]
    of_object = {"id": "o", "input": {"action": "accounts.read", "user": None}}
    whole, partial, thing = engine.decide(
        pdp, bundle, [asked, erased, of_object], [engine.AUTHZ, engine.OBJECTS]
    )
    assert whole.values[engine.AUTHZ]["reason"] == "ALLOWED"
    assert (whole.partial, thing.partial) == ((), ())
    assert partial.partial == ("/parsed_body/amount/minorUnits", "/token/tenant")
