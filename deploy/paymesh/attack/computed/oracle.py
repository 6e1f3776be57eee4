"""Questions to the checkout's own policy, answered by OPA in batches.

Whoever needs an answer that is not there yet is stopped by `Pending`; the question is kept,
and `answer` asks all of them at once. Who asked then starts again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from paymesh.errors import SetupError
from paymesh.mesh import Mesh
from paymesh.policy import candidate, engine
from paymesh.policy.contents import contents
from paymesh.policy.environment import environment

# What the policy reads of every call; another header that it reads is one that a caller can set.
_ORDINARY_HEADERS = frozenset({"authorization", "content-type", "grpc-encoding"})
_HEADERS = ("attributes", "request", "http", "headers")

# Answers must not depend on the day.
_TIME, _NOW_S, _LIFE_SECONDS = "2026-01-01T00:00:00Z", 1767225600, 600
_KEY_ID = "computed"
# The example key of RFC 7515, appendix A.3: public, and nobody's. `paymesh-pdp decide` puts its
# own in its place.
_JWKS = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "kid": _KEY_ID,
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    ]
}
# As `paymesh-pdp run` is started (deploy/paymesh/runtime): with the hash of the owner's token.
_OWNER = "owner"
_API = (
    "data.system.authz.allow with opa.runtime as"
    f' {{"env": {{"PAYMESH_PDP_TOKEN_SHA256": crypto.sha256("{_OWNER}")}}}}'
)

Headers = Mapping[str, str]


class Pending(Exception):
    """The answer is not known yet."""


class Oracle:
    """The policy of one checkout."""

    def __init__(self, mesh: Mesh, pdp: Path, bundle: Path) -> None:
        self._mesh = mesh
        self._pdp = pdp
        self._bundle = bundle
        self._known: dict[tuple[str, str], Any] = {}
        self._wanted: dict[tuple[str, str], None] = {}

    def claims(self) -> frozenset[str]:
        """Headers that the policy reads beside those of every gRPC call."""
        places = engine.reads(self._pdp, self._bundle, (engine.AUTHZ,))[engine.AUTHZ]
        found = {
            place.path[len(_HEADERS)]
            for place in places
            if place.document == "input"
            and place.path[: len(_HEADERS)] == _HEADERS
            and len(place.path) > len(_HEADERS)
        }
        return frozenset(found - _ORDINARY_HEADERS)

    def decision(
        self, principal: str, rpc: str, body: str, user: str | None, headers: Headers
    ) -> Mapping[str, Any]:
        """What ext_authz is told of a call.

        Args:
            principal: URI of the caller's certificate; empty without one.
            rpc: the raw path.
            body: the message as protojson; `null` where it is not read.
            user: whose token is in the authorization header.
            headers: others.

        Raises:
            Pending: it has to be asked first.
        """
        sent: dict[str, Any] = {"content-type": "application/grpc", **headers}
        if user is not None:
            sent["authorization"] = None
        http = {"method": "POST", "path": rpc, "headers": sent}
        question = {
            "input": {
                "attributes": {"source": {"principal": principal}, "request": {"http": http}},
                "parsed_body": json.loads(body),
                "truncated_body": False,
            },
            "token": self._token(user),
        }
        found = self._ask(engine.AUTHZ, question)
        return found if isinstance(found, dict) else {}

    def permits(self, action: str, caller: str, user: object, facts: Mapping[str, str]) -> bool:
        """Whether the object decision allows it. Raises Pending."""
        asked = {"action": action, "caller": caller, "user": user, "object": dict(facts)}
        found = self._ask(engine.OBJECTS, {"input": asked, "token": None})
        return isinstance(found, dict) and found.get("allowed") is True

    def serves_questions(self, *, to_owner: bool) -> bool:
        """Whether a decision point's own API answers a question about an object, with its
        token or without any. Raises Pending.
        """
        path = ["v1", "data", *engine.OBJECTS.split(".")[1:]]
        request: dict[str, Any] = {"method": "POST", "path": path, "params": {}}
        if to_owner:
            request["identity"] = _OWNER
        return self._ask(_API, {"input": request, "token": None}) is True

    def answer(self) -> bool:
        """Asks what is open; whether there was anything.

        Raises:
            SetupError: the policy does not compile or gives no answer.
        """
        for query in sorted({query for query, _ in self._wanted}):
            asked = [text for wanted, text in self._wanted if wanted == query]
            questions = ({"time": _TIME, **json.loads(text)} for text in asked)
            answers = engine.decide(self._pdp, self._bundle, questions, (query,))
            for text, answer in zip(asked, answers, strict=True):
                if answer.error:
                    raise SetupError(f"the policy cannot be evaluated: {answer.error}")
                self._known[query, text] = answer.values.get(query)
        had_any = bool(self._wanted)
        self._wanted.clear()
        return had_any

    def _ask(self, query: str, question: Mapping[str, Any]) -> Any:
        key = query, json.dumps(question, sort_keys=True)
        if key not in self._known:
            self._wanted[key] = None
            raise Pending
        return self._known[key]

    def _token(self, user: str | None) -> Mapping[str, Any] | None:
        """The facts of the token that the issuer gives to this user (paymesh.users)."""
        if user is None:
            return None
        known = self._mesh.users.known[user]
        return {
            "scheme": "bearer",
            "signature": "valid",
            "key": _KEY_ID,
            "header": {"alg": "ES256", "kid": _KEY_ID, "typ": "JWT"},
            "claims": {
                "iss": self._mesh.users.issuer,
                "aud": self._mesh.users.audience,
                "sub": known.name,
                "tenant": known.tenant,
                "roles": list(known.roles),
                "iat": _NOW_S,
                "exp": _NOW_S + _LIFE_SECONDS,
            },
        }


@contextlib.contextmanager
def policy_of(root: Path, mesh: Mesh, pdp: Path) -> Iterator[Oracle]:
    """The policy of the checkout `root`.

    Raises:
        ConfigError: a file of it cannot be read.
    """
    files = contents(root / "policies", environment(mesh, json.dumps(_JWKS)))
    with candidate.unpacked(files) as bundle:
        yield Oracle(mesh, pdp, bundle)


def every(needs: Iterable[Callable[[], bool]]) -> bool:
    """Whether all hold. Looks at all of them, so that their questions are asked together.

    Raises:
        Pending: none fails, and one is not known yet.
    """
    is_pending = False
    for need in needs:
        try:
            if not need():
                return False
        except Pending:
            is_pending = True
    if is_pending:
        raise Pending
    return True
