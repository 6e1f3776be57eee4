"""What the arms have in place of the grants and, in arm A, of the caller's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paymesh.attack.arms import documents
from paymesh.attack.model import Arm
from paymesh.mesh import load_mesh
from paymesh.policy import coverage

CLAIM_HEADER = "x-claimed-workload"
"""Where a caller says who it is in arm A: a SPIFFE ID."""

_GRANTS = Path("policies/paymesh/grants/data.yaml")
_AUTHZ = Path("policies/paymesh/authz")
_OF_CERTIFICATE = "input.attributes.source.principal"


def drop_conditions(root: Path, arm: Arm) -> None:
    """Arm D: which caller may make which RPC is all that is asked."""

    def change(document: Any) -> None:
        for grant in document["grants"]:
            if not isinstance(grant["conditions"], list):
                raise TypeError("conditions are no list")
            grant["conditions"] = []

    documents.edit(root / _GRANTS, arm, change)


def grant_everything(root: Path, arm: Arm) -> None:
    """Arms A to C: every workload may make every RPC that there is, and none is closed."""
    rpcs = coverage.rpcs(root / "policies" / "descriptors.binpb")
    workloads = load_mesh(root, port_offset=0).workloads
    grants = [
        {
            "id": f"anybody-{workload}-{number}",
            "caller": workload,
            "rpc": rpc,
            "conditions": [],
            "why": "There is no service policy in this arm.",
        }
        for workload in workloads
        for number, rpc in enumerate(rpcs, start=1)
    ]

    def change(document: Any) -> None:
        if not document["grants"] or not document["closed"]:
            raise KeyError("grants and closed")
        document["grants"], document["closed"] = grants, []

    documents.edit(root / _GRANTS, arm, change)


def believe_claims(root: Path) -> None:
    """Arm A: a caller is who it says it is.

    Raises:
        SetupError: the policy no longer takes the caller from where it did.
    """
    claim = f'input.attributes.request.http.headers["{CLAIM_HEADER}"]'
    documents.replace_text(
        root / _AUTHZ / "identity.rego",
        f"\n_principal := {_OF_CERTIFICATE}\n",
        f"\n_principal := {claim}\n",
        times=1,
    )
    # What the service is told of its caller is what the policy believed.
    documents.replace_text(
        root / _AUTHZ / "decision.rego",
        f'"x-paymesh-caller": {_OF_CERTIFICATE},',
        '"x-paymesh-caller": _principal,',
        times=2,
    )
