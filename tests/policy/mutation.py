"""Writes what `paymesh-pdp mutate` is given: the table as questions, and mutants of the grants.

`python -m policy.mutation DIRECTORY`, with tests/ on the path.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from meshkit.currencies import CURRENCIES
from paymesh.mesh import load_mesh, repository_root
from paymesh.policy import coverage
from paymesh.policy.environment import environment
from paymesh.runtime.issuer import jwk

from . import calls, grant_mutants, table

_GRANTS = "policies/paymesh/grants/data.yaml"
# Any moment does: tokens are made for it.
_NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def write(directory: Path) -> None:
    """`table.json` and `grants.json`."""
    root = repository_root()
    policies = root / "policies"
    mesh = load_mesh(port_offset=0)
    rpcs = coverage.rpcs(policies / "descriptors.binpb")
    key = ec.generate_private_key(ec.SECP256R1())
    expected = table.load()
    bearers = calls.tokens(expected.users, mesh, key, int(_NOW.timestamp()))
    questions = calls.questions(expected, mesh, rpcs, CURRENCIES, bearers)
    document = {
        "environment": environment(mesh, json.dumps({"keys": [jwk(key.public_key())]})),
        "time": _NOW.isoformat(),
        "cases": [
            {
                "name": str(case),
                "edge": grant_mutants.edge(case.caller, case.rpc),
                "input": asked,
                "expected": case.expected,
            }
            for case, asked in questions
        ],
    }
    around = grant_mutants.Surroundings(
        mesh,
        tuple(rpcs),
        tuple(sorted(coverage.conditions(policies))),
        tuple(sorted(CURRENCIES)),
        tuple(grant_mutants.edge(row["caller"], row["rpc"]) for row in expected.largest),
    )
    (directory / "table.json").write_text(json.dumps(document))
    broken = grant_mutants.mutants(root / _GRANTS, _GRANTS, around)
    (directory / "grants.json").write_text(json.dumps(broken))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
