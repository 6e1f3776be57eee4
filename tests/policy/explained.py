"""Decisions as the log records them, made and explained without a mesh."""

from __future__ import annotations

import copy
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from paymesh.mesh import Mesh, repository_root
from paymesh.policy import candidate, engine
from paymesh.policy.contents import Files
from paymesh.policy.explain import explain, text
from paymesh.policy.explain.ground import Ground
from paymesh.policy.explain.model import Explanation
from paymesh.policy.log import moments, records
from paymesh.policy.log.files import LogFile
from paymesh.policy.log.records import Entry

ROOT = repository_root()
REVIEWERS_FILE = ROOT / "policies" / "paymesh" / "grants" / "data.yaml"
NOW_S = 1_795_256_130
NOW = "2026-11-21T10:15:30Z"
REVISION = "1795256000000-0123456789ab"
PAYMENTS = "/paymesh.payments.v1.PaymentsService/"
LEDGER = "/paymesh.ledger.v1.LedgerService/"
PLACE = re.compile(r"policies/[\w./-]+\.(?:rego|yaml):\d+")


class Explainer:
    """The checkout's policy, or an edited one, and decisions of it.

    Args:
        pdp: the decision point's program.
        mesh: whose workloads call.
        environment: `data.paymesh.environment`.
        files: of the policy; the checkout's when left out.
    """

    def __init__(
        self, pdp: Path, mesh: Mesh, environment: Mapping[str, Any], files: Files | None = None
    ) -> None:
        self.pdp = pdp
        self.mesh = mesh
        self.environment = environment
        self.files = files or candidate.load(str(ROOT), environment)
        self.reviewers_file = REVIEWERS_FILE.read_bytes()

    @property
    def key(self) -> str:
        """Id of the issuer's key."""
        return str(json.loads(self.environment["users"]["jwks"])["keys"][0]["kid"])

    def token(self, signature: str = "valid", **changed: Any) -> dict[str, Any]:
        """What the log says of a token of alice's, a customer of acme."""
        claims = {
            "iss": self.mesh.users.issuer,
            "aud": self.mesh.users.audience,
            "sub": "alice",
            "tenant": "acme",
            "roles": ["customer"],
            "iat": NOW_S - 100,
            "exp": NOW_S + 600,
            **changed,
        }
        facts: dict[str, Any] = {"scheme": "bearer", "signature": signature}
        if signature == "malformed":
            return facts
        if signature == "valid":
            facts["key"] = self.key
        header = {"alg": "ES256", "kid": self.key, "typ": "JWT"}
        return {**facts, "header": header, "claims": claims, "withheld": []}

    def call(
        self,
        caller: str,
        rpc: str,
        body: Any = None,
        token: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> Entry:
        """The record of a call, as the policy decides it."""
        sent: dict[str, Any] = {"content-type": "application/grpc", **headers}
        if token is not None:
            sent["authorization"] = None
        principal = caller if not caller or ":" in caller else self.mesh.spiffe_id(caller)
        asked = {
            "attributes": {
                "source": {"principal": principal},
                "request": {"http": {"method": "POST", "path": rpc, "headers": sent}},
            },
            "parsed_body": body,
            "truncated_body": False,
        }
        return self.record(asked, engine.AUTHZ, caller=caller, rpc=rpc, token=token)

    def object(
        self, caller: str, action: str, user: Mapping[str, Any] | None, **facts: str
    ) -> Entry:
        """The record of a question about an object."""
        asked = {
            "action": action,
            "caller": self.mesh.spiffe_id(caller),
            "user": user,
            "object": facts,
        }
        found = self.record(asked, engine.OBJECTS, caller=caller, rpc=action, token=None)
        return changed(found, user=user)

    def record(
        self, asked: Mapping[str, Any], query: str, *, token: Mapping[str, Any] | None, **who: str
    ) -> Entry:
        """What the decision point would have logged."""
        (found,) = self.answers([{"input": asked, "token": token, "time": NOW}], query)
        record = {
            "decision_id": str(uuid.uuid4()),
            "time": NOW,
            "caller": who["caller"],
            "user": found.get("user"),
            "rpc": who["rpc"],
            "token": token,
            "input": asked,
            "result": found,
            "allowed": found["allowed"],
            "reason": found["reason"],
            "grant": found.get("grant", ""),
            "revision": REVISION,
            "policy_path": query.removeprefix("data.").replace(".", "/"),
            "eval_ns": 1,
        }
        return entry(record)

    def answers(self, questions: Iterable[Mapping[str, Any]], query: str) -> list[dict[str, Any]]:
        """Decisions."""
        with candidate.unpacked(self.files) as directory:
            asked = [{"id": "", **question} for question in questions]
            found = list(engine.decide(self.pdp, directory, asked, (query,)))
        assert [answer.error for answer in found] == [""] * len(found)
        return [answer.values[query] for answer in found]

    def explain(self, found: Entry, *, trace: bool = False) -> Explanation:
        """By the policy that decided."""
        ground = Ground(REVISION, self.files, self.reviewers_file, "archive", REVISION)
        return explain(found, ground, self.pdp, trace=trace)

    def text(self, found: Entry) -> str:
        """As a user reads it."""
        return said(self.explain(found))

    def line(self, place: str) -> str:
        """The line of the policy that a place names."""
        name, _, number = place.removeprefix("policies/").rpartition(":")
        is_grants = name == "paymesh/grants/data.yaml"
        content = self.reviewers_file if is_grants else self.files[name]
        return content.decode().splitlines()[int(number) - 1]


def entry(record: Mapping[str, Any]) -> Entry:
    """A record in the log of payments."""
    line = json.dumps(record, separators=(",", ":")).encode()
    parsed = records.parse(line)
    assert parsed is not None
    file = LogFile("payments", Path("decisions.jsonl"), (0, 0), len(line), None)
    return Entry(moments.of(NOW) or 0, file, line, parsed)


def changed(found: Entry, **fields: Any) -> Entry:
    """The record with other fields."""
    return entry({**copy.deepcopy(found.record), **fields})


def said(explanation: Explanation) -> str:
    """As a user reads it."""
    return "\n".join(text.sentences(explanation))
