"""Every RPC is granted or closed on purpose, and every grant names things that exist.

What this refuses would not be let through by the policy either; but a grant that
can never match is a mistake that nobody notices, and an RPC that nobody has
thought about is one that a reviewer never saw.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from paymesh.errors import ConfigError
from paymesh.grants import Grants, load_grants
from paymesh.mesh import Mesh, load_mesh, repository_root

_CONDITION_RULE = re.compile(r'^condition(?:\["([a-z0-9_]+)"\]|\.([a-z0-9_]+))', re.MULTILINE)
_GRANTS = "policies/paymesh/grants/data.yaml"


def rpcs(descriptors: Path) -> list[str]:
    """`/package.Service/Method` of every service in the descriptor set, sorted.

    Raises:
        ConfigError: the file is missing or no descriptor set.
    """
    return parse_rpcs(descriptors, read_descriptors(descriptors))


def read_descriptors(path: Path) -> bytes:
    """The descriptor set as it is.

    Raises:
        ConfigError: the file is missing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: run `make render`") from error


def parse_rpcs(path: Path, content: bytes) -> list[str]:
    """As `rpcs`, of what was read already.

    Raises:
        ConfigError: it is no descriptor set.
    """
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(content)
    except DecodeError as error:
        raise ConfigError(f"{path} cannot be read: run `make render`") from error
    return sorted(
        f"/{file.package}.{service.name}/{method.name}"
        for file in files.file
        for service in file.service
        for method in service.method
    )


def conditions(policies: Path) -> frozenset[str]:
    """The names of the rules `condition["<name>"]` in conditions.rego.

    Raises:
        ConfigError: the file cannot be read.
    """
    path = policies / "paymesh" / "authz" / "conditions.rego"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return frozenset(quoted or dotted for quoted, dotted in _CONDITION_RULE.findall(text))


def check(mesh: Mesh, grants: Grants, known_rpcs: Iterable[str], known: Collection[str]) -> None:
    """Compares the grants with the APIs, the workloads and the conditions there are.

    Args:
        mesh: the workloads.
        grants: the reviewers' file.
        known_rpcs: what `rpcs` found.
        known: what `conditions` found.

    Raises:
        ConfigError: says everything that is wrong, one sentence a line, each with its mend.
    """
    exists = set(known_rpcs)
    granted = {grant.rpc for grant in grants.grants}
    problems = [
        f"{rpc} is neither granted nor closed: add a grant, or a line under `closed` that says why"
        for rpc in sorted(exists - granted - set(grants.closed))
    ]
    problems += [
        f"{rpc} is closed but does not exist: remove the line, or run `make render`"
        for rpc in sorted(set(grants.closed) - exists)
    ]
    problems += [
        f"{rpc} is closed and granted: remove one of the two"
        for rpc in sorted(granted & set(grants.closed))
    ]
    for grant in grants.grants:
        if grant.rpc not in exists:
            problems.append(
                f"grant {grant.id}: {grant.rpc} does not exist: mend the name, or run `make render`"
            )
        if grant.caller not in mesh.workloads:
            problems.append(
                f"grant {grant.id}: {grant.caller!r} is no workload of deploy/mesh.yaml, which has "
                + ", ".join(mesh.workloads)
            )
        problems += [
            f"grant {grant.id}: there is no condition {name!r}: write it in conditions.rego"
            for name in grant.conditions
            if name not in known
        ]
        if not grant.why.strip():
            problems.append(f"grant {grant.id}: say why")
    problems += [f"{rpc} is closed: say why" for rpc, why in grants.closed.items() if not why]
    if problems:
        raise ConfigError("\n".join(f"{_GRANTS}: {problem}" for problem in problems))


def main() -> int:
    """`python -m paymesh.policy.coverage`: 1 and what to do when a line is wrong."""
    policies = repository_root() / "policies"
    try:
        check(
            load_mesh(), load_grants(), rpcs(policies / "descriptors.binpb"), conditions(policies)
        )
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
