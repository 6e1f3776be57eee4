"""Calls as Envoy and the services put them, real tokens and all, and what is recorded of them.

Everything is decided, masked and taken apart by the policy itself through `opa eval`, which
knows nothing of `paymesh-pdp replay`: two accounts of the same traffic that can be compared.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.mesh import Mesh
from paymesh.runtime.issuer import jwk

from . import table
from .calls import document

AUTHZ, OBJECTS = "paymesh/authz/decision", "paymesh/objects/decision"
SECOND_NS = 1_000_000_000
MOMENT_NS = 1_790_000_000 * SECOND_NS
REVISION = "1790000000000-0123456789ab"
_HOUR_S = 3600
_JWS = jwt.PyJWS()  # which lets claims be whatever they are
# Around the end of a token; the policy's clock is a float64 that is exact to 256 ns.
_NEAR_NS = (-SECOND_NS, -1000, -257, -129, -128, -1, 0, 1, 128, 129, 257, 1000, SECOND_NS)
_KINDS = ("ACCOUNT_KIND_MERCHANT", "ACCOUNT_KIND_CLEARING", "ACCOUNT_KIND_CUSTOMER")
_AMOUNTS = ("1", "1250", "999999", "1000000", "1000001", "5000000", "5000001", "-1", "0", "01")


@dataclasses.dataclass(frozen=True)
class Call:
    """One question to the policy, as it was asked."""

    id: str
    path: str
    now_ns: int
    input: dict[str, Any]

    @property
    def authorization(self) -> str | None:
        """The header, for a call that has one."""
        found: str | None = (
            self.input.get("attributes", {})
            .get("request", {})
            .get("http", {})
            .get("headers", {})
            .get("authorization")
        )
        return found


@dataclasses.dataclass(frozen=True)
class Issuer:
    """Signs tokens; `stranger` is nobody's issuer."""

    mesh: Mesh
    key: ec.EllipticCurvePrivateKey
    stranger: ec.EllipticCurvePrivateKey

    def token(self, claims: Mapping[str, Any], how: str) -> str:
        """A header with these claims; `how` it is wrong, or "good"."""
        kid = jwk(self.key.public_key())["kid"]
        named, text = {"kid": kid}, json.dumps(claims).encode()
        match how:
            case "forged":
                made = _JWS.encode(text, self.stranger, "ES256", named)
            case "unnamed":
                made = _JWS.encode(text, self.key, "ES256")
            case "misnamed":
                made = _JWS.encode(text, self.key, "ES256", {"kid": "k"})
            case "shared":
                made = _JWS.encode(text, "x" * 32, "HS256", named)
            case "unsigned":
                parts = ({"alg": "none", "kid": kid}, claims)
                made = ".".join(_base64url(json.dumps(part)) for part in parts) + "."
            case "malformed":
                made = "one.two.three"
            case "other":
                return "Basic dXNlcjpwYXNz"
            case _:
                made = _JWS.encode(text, self.key, "ES256", named)
        return f"Bearer {made}"


WAYS = ("forged", "unnamed", "misnamed", "shared", "unsigned", "malformed", "other")


def calls(
    mesh: Mesh, issuer: Issuer, found: table.Table, rpcs: Sequence[str], *, seed: int, count: int
) -> Iterator[Call]:
    """Every case of the table, then `count` at random: near misses of all kinds."""
    chance = random.Random(seed)  # noqa: S311 — the same traffic each time
    cases = list(found.cases(mesh.workloads, rpcs))
    for case in cases:
        yield _case(mesh, issuer, found, case, chance)
    for index in range(count):
        if index % 2 == 0:
            yield _object(mesh, chance)
        else:
            yield _odd(_case(mesh, issuer, found, chance.choice(cases), chance), chance)


def _case(
    mesh: Mesh, issuer: Issuer, found: table.Table, case: table.Case, chance: random.Random
) -> Call:
    now_ns = MOMENT_NS + chance.randrange(_HOUR_S * SECOND_NS)
    user = found.users[case.user]
    header = None
    if user is not None:
        end_s = now_ns // SECOND_NS + (-5 if user.get("expired") else 600)
        claims = {
            "iss": mesh.users.issuer,
            "aud": mesh.users.audience,
            "iat": end_s - 700,
            "exp": end_s,
            "jti": f"{chance.getrandbits(64):x}",
            **{claim: user[claim] for claim in ("sub", "tenant", "roles")},
        }
        how = "forged" if user.get("forged") else "good"
        if chance.randrange(3) == 0:
            claims, how, now_ns = _strange(claims, how, now_ns, chance)
        header = issuer.token(claims, how).removeprefix("Bearer ")
    body = json.loads(json.dumps(found.bodies[case.body]))
    asked = document(mesh.spiffe_id(case.caller), case.rpc, header, body)
    if header == "Basic dXNlcjpwYXNz":
        asked["attributes"]["request"]["http"]["headers"]["authorization"] = header
    asked["attributes"]["request"]["http"]["headers"]["x-request-id"] = f"{chance.getrandbits(64)}"
    return Call(f"{chance.getrandbits(128):032x}", AUTHZ, now_ns, asked)


def _strange(
    claims: dict[str, Any], how: str, now_ns: int, chance: random.Random
) -> tuple[dict[str, Any], str, int]:
    """Another time, claim or signature."""
    match chance.randrange(8):
        case 0 | 1:
            now_ns = claims["exp"] * SECOND_NS + chance.choice(_NEAR_NS)
        case 2:
            claims["nbf"] = claims["iat"] + 50
            now_ns = claims["nbf"] * SECOND_NS + chance.choice(_NEAR_NS)
        case 3:
            claims["sub"] = chance.choice(("", "a b", "x" * 60, "bob", 7, None))
        case 4:
            claims["roles"] = chance.choice(([], ["auditor", "customer"], ["Admin"], "customer"))
        case 5:
            claims["exp"] = chance.choice((claims["exp"] + 0.5, "soon", None, 0, -1))
        case 6:
            strange = {"iss": "x", "aud": [claims["aud"], "x"], "tenant": 3, "iat": "x"}
            name = chance.choice(sorted(strange))
            claims[name] = chance.choice((strange[name], None))
        case _:
            how = chance.choice(WAYS)
    return {name: value for name, value in claims.items() if value is not None}, how, now_ns


def _odd(call: Call, chance: random.Random) -> Call:
    """A little different from what the table has."""
    asked, http = call.input, call.input["attributes"]["request"]["http"]
    body = asked["parsed_body"]
    match chance.randrange(8):
        case 0 if isinstance(body, dict):
            body["amount"] = {
                "currencyCode": chance.choice(("EUR", "USD", "JPY", "XAU", "eur")),
                "minorUnits": chance.choice((*_AMOUNTS, str(chance.randrange(2_000_000)))),
            }
        case 1 if isinstance(body, dict):
            body["legs"] = [
                {"accountId": f"{i}", "amount": {"currencyCode": "EUR", "minorUnits": amount}}
                for i, amount in enumerate(chance.choices(_AMOUNTS, k=chance.randrange(4)))
            ]
        case 2 if isinstance(body, dict):
            body["legalEntity"], body["kind"] = (
                chance.choice(("acme", "globex")),
                chance.choice(_KINDS),
            )
        case 3:
            asked["truncated_body"] = True
        case 4:
            http["headers"]["grpc-encoding"] = chance.choice(("identity", "gzip"))
        case 5:
            http["headers"]["content-type"] = chance.choice(
                ("application/grpc+proto", "text/plain")
            )
        case 6:
            http["method"] = chance.choice(("POST", "GET"))
        case _:
            http["path"] = chance.choice((http["path"], http["path"] + "/", "/a/b"))
    return call


def _object(mesh: Mesh, chance: random.Random) -> Call:
    """A service's question about an object."""
    people, tenants = ("alice", "alice", "bob", ""), ("acme", "acme", "globex", "")
    user = {
        "sub": chance.choice(people),
        "tenant": chance.choice(tenants),
        "roles": chance.choice((["customer"], ["operator"], ["auditor", "customer"], [])),
    }
    thing = {
        "tenant": chance.choice(tenants),
        "owner": chance.choice(people),
        "state": chance.choice(("SUCCESS", "PENDING")),
        "kind": chance.choice(("MERCHANT", "CLEARING")),
    }
    for name in chance.sample(sorted(thing), k=chance.choice((0, 0, 1, 2))):
        del thing[name]
    reads = ("payments.read", "links.read")
    others = (
        "payments.refund",
        "links.use",
        "accounts.read",
        "accounts.open",
        "accounts.post",
        "x",
    )
    asked = {
        "action": chance.choice(chance.choice((reads, others))),
        "caller": mesh.spiffe_id(chance.choice(("gateway", "gateway", "payments", "statements"))),
        "user": chance.choice((user, user, None)),
        "object": thing,
    }
    now_ns = MOMENT_NS + chance.randrange(_HOUR_S * SECOND_NS)
    return Call(f"{chance.getrandbits(128):032x}", OBJECTS, now_ns, asked)


def _base64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")


# Variables and no references after `with`: of those OPA 1.22 loses the values in rules' indices.
_QUERY = """[r | some q in input.calls; i := q.input; now := q.now; a := q.authorization; r := {
  "authz": [d | d := data.paymesh.authz.decision with input as i with time.now_ns as now],
  "objects": [d | d := data.paymesh.objects.decision with input as i with time.now_ns as now],
  "token": [t | t := data.paymesh.log.token with input as {"authorization": a}],
  "mask": [m | m := data.paymesh.log.mask with input as i],
}]"""


@dataclasses.dataclass(frozen=True)
class Decided:
    """What a policy says to a call: itself, and about the record."""

    allowed: bool
    reason: str
    grant: str
    value: Any = dataclasses.field(compare=False)
    token: Any = dataclasses.field(compare=False)
    mask: Any = dataclasses.field(compare=False)


def decide(pdp: Path, bundle: Path, scratch: Path, asked: Sequence[Call]) -> list[Decided]:
    """The policy's answers to the real calls, with their real tokens."""
    questions = [
        {
            "input": call.input,
            "now": call.now_ns,
            "authorization": call.authorization,
        }
        for call in asked
    ]
    (scratch / "calls.json").write_text(json.dumps({"calls": questions}))
    done = subprocess.run(
        [
            pdp,
            "eval",
            "--bundle",
            bundle,
            "--input",
            scratch / "calls.json",
            "--format",
            "json",
            _QUERY,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    assert len(found) == len(asked)
    return [_decided(call, one) for call, one in zip(asked, found, strict=True)]


def _decided(call: Call, found: Mapping[str, Any]) -> Decided:
    (value,) = found[call.path.split("/")[1]] or [None]
    (token,) = found["token"] or [None]
    (mask,) = found["mask"] or [None]
    # A decision point refuses to put anything but text into a header.
    if value is None or not all(isinstance(h, str) for h in value.get("headers", {}).values()):
        return Decided(
            allowed=False, reason="POLICY_ERROR", grant="", value=value, token=token, mask=mask
        )
    metadata = value.get("dynamic_metadata", {})
    return Decided(
        value["allowed"],
        metadata.get("reason", value["reason"]),
        metadata.get("grant", ""),
        value,
        token,
        mask,
    )


def record(call: Call, decided: Decided) -> dict[str, Any]:
    """The line of the decision log."""
    seconds, nanoseconds = divmod(call.now_ns, SECOND_NS)
    moment = f"{_utc(seconds)}.{nanoseconds:09d}Z"
    asked = json.loads(json.dumps(call.input))
    if call.path == AUTHZ:
        for pointer in decided.mask["erase"]:
            _erase(asked, pointer, remove=False)
        for pointer in decided.mask["leave_out"]:
            _erase(asked, pointer, remove=True)
        caller = call.input["attributes"]["source"]["principal"].rpartition("/")[2]
        rpc, user = call.input["attributes"]["request"]["http"]["path"], decided.value["user"]
    else:
        caller = call.input["caller"].rpartition("/")[2]
        rpc, user = call.input["action"], call.input["user"]
    return {
        "decision_id": call.id,
        "time": moment,
        "caller": caller,
        "user": user,
        "token": decided.token if call.authorization is not None else None,
        "rpc": rpc,
        "input": asked,
        "result": decided.value,
        "allowed": decided.allowed,
        "reason": decided.reason,
        "grant": decided.grant,
        "revision": REVISION,
        "policy_path": call.path,
        "eval_ns": 100_000,
    }


def _utc(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}"


def _erase(document: Any, pointer: str, *, remove: bool) -> None:
    *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for position, part in enumerate(parents):
        if part == "*":
            for element in document:
                _erase(element, "/" + "/".join([*parents[position + 1 :], last]), remove=remove)
            return
        document = _member(document, part)
    if isinstance(document, dict) and last in document:
        if remove:
            del document[last]
        else:
            document[last] = None
    elif isinstance(document, list) and last.isdecimal() and int(last) < len(document):
        document[int(last)] = None


def _member(document: Any, part: str) -> Any:
    if isinstance(document, dict):
        return document.get(part)
    if isinstance(document, list) and part.isdecimal() and int(part) < len(document):
        return document[int(part)]
    return None
