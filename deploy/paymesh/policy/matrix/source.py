"""What one state of the policies says, from a directory or a git revision."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paymesh.errors import ConfigError
from paymesh.mesh import read_yaml
from paymesh.policy import candidate, contents
from paymesh.policy.explain.places import ReviewersFile
from paymesh.policy.matrix.subjects import KEY_ID

# What is recorded, and who may use a decision point's own API: nothing about calls.
_NO_DECISIONS = ("paymesh/log/", "system/")

# The example key of RFC 7515, appendix A.3: public, and nobody's.
_JWKS = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "kid": KEY_ID,
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    ]
}

# A string of Rego, and whether it is the name of a condition or a key.
_STRING = re.compile(r'(condition\[)?"((?:[^"\\\n]|\\.)*)"(\s*:)?')
_SET = re.compile(r'\{\s*"[^"]*"(?:\s*,\s*"[^"]*")*,?\s*\}')
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_ACTION = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Source:
    """One state of the policies.

    `roles` have a name in deploy/mesh.yaml or in a set of the rules; `words` are all strings of
    the rules that could be a role, `actions` those that could be an action. `why` is what the
    reviewers' file says of a grant's id or a closed RPC, `places` where it stands, `granted`
    the first caller that an RPC is granted to.
    """

    label: str
    files: contents.Files
    environment: Mapping[str, Any]
    descriptors: bytes
    roles: frozenset[str]
    words: frozenset[str]
    actions: frozenset[str]
    limits: Mapping[str, Mapping[str, int]]
    why: Mapping[str, str]
    granted: Mapping[str, str]
    places: ReviewersFile

    @property
    def workloads(self) -> tuple[str, ...]:
        """Of its mesh.yaml, in the file's order."""
        return tuple(self.environment["workloads"])


def read(directory: Path, label: str, beside: Path | None = None) -> Source:
    """The state of a checkout, or of a `policies` directory alone.

    Args:
        directory: the checkout or directory.
        label: what people know it by.
        beside: the checkout that has what a directory alone lacks: mesh.yaml, the descriptors.

    Raises:
        ConfigError: a file is missing or says something impossible.
    """
    policies = candidate.policies_of(directory)
    others = beside or policies.parent
    mesh = _either(label, policies.parent / "deploy" / "mesh.yaml", others / "deploy" / "mesh.yaml")
    descriptors = _either(
        label, policies / "descriptors.binpb", others / "policies" / "descriptors.binpb"
    )
    environment, roles = _mesh(mesh)
    found = contents.read(policies, environment, contents.Cache())
    rules = "\n".join(_code(text) for name, text in found.files.items() if _decides(name))
    strings = set(_strings(rules))
    in_sets = {string for literal in _SET.findall(rules) for string in _strings(literal)}
    named = {word for word in in_sets if _ROLE.fullmatch(word)} - set(environment["workloads"])
    grants = found.grants.grants
    return Source(
        label=label,
        files=found.files,
        environment=environment,
        descriptors=descriptors.read_bytes(),
        roles=frozenset(roles | named),
        words=frozenset(word for word in strings if _ROLE.fullmatch(word)),
        actions=frozenset(word for word in strings if _ACTION.fullmatch(word)),
        limits=_limits(found.files),
        why={grant.id: grant.why for grant in grants} | dict(found.grants.closed),
        granted={grant.rpc: grant.caller for grant in reversed(grants)},
        places=ReviewersFile(found.text),
    )


def _mesh(path: Path) -> tuple[dict[str, Any], set[str]]:
    """`data.paymesh.environment` and the roles of the users that the file knows.

    It reads no more than that, so that it can read what an old revision has too.
    """
    raw = read_yaml(path)
    try:
        environment = {
            "trust_domain": raw["trust_domain"],
            "namespace": raw["namespace"],
            "workloads": list(raw["workloads"]),
            "users": {
                "issuer": raw["users"]["issuer"],
                "audience": raw["users"]["audience"],
                "jwks": json.dumps(_JWKS, sort_keys=True, separators=(",", ":")),
            },
        }
        known = raw["users"].get("known", {}).values()
        return environment, {role for user in known for role in user["roles"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error


def _either(label: str, own: Path, other: Path) -> Path:
    for path in (own, other):
        if path.is_file():
            return path
    raise ConfigError(f"{label} has no {own.name}, which says who could call what")


def _decides(name: str) -> bool:
    return name.endswith(".rego") and not name.startswith(_NO_DECISIONS)


def _strings(rules: str) -> Iterator[str]:
    for is_condition, string, is_key in _STRING.findall(rules):
        if not is_condition and not is_key:
            yield string


def _code(text: bytes) -> str:
    lines = text.decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _limits(files: contents.Files) -> dict[str, dict[str, int]]:
    limits = json.loads(files.get("paymesh/grants/data.json", b"{}")).get("limits") or {}
    return {
        table: {code: units for code, units in by_currency.items() if isinstance(units, int)}
        for table, by_currency in limits.items()
        if isinstance(by_currency, dict)
    }
