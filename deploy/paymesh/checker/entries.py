"""Properties of SPIRE's registration entries."""

from __future__ import annotations

from typing import Any

from paymesh.checker.facts import Facts
from paymesh.checker.finding import Findings
from paymesh.checker.walk import at, items


def check_entries(found: Findings, facts: Facts, data: Any) -> None:
    """One entry for each workload, told apart by uid, and no other."""
    entries = items(data, "entries")
    ids = sorted(str(at(entry, "spiffe_id")) for entry in entries)
    found.equal(
        "entries-match-workloads",
        ids,
        sorted(facts.spiffe_id(name) for name in facts.mesh["workloads"]),
        "one entry for each workload of deploy/mesh.yaml",
    )
    uid_base = facts.mesh["local"]["uid_base"]
    for name, workload in facts.mesh["workloads"].items():
        entry = next((e for e in entries if at(e, "spiffe_id") == facts.spiffe_id(name)), None)
        if entry is None:
            continue
        uid = uid_base + workload["uid_offset"]
        found.equal(
            "entry-selectors", at(entry, "selectors"), [{"type": "unix", "value": f"uid:{uid}"}]
        )
        found.equal("entry-dns-names", at(entry, "dns_names"), [facts.server_name(name)])
        found.equal(
            "entry-parent",
            at(entry, "parent_id"),
            f"{facts.bundle}/spire/agent/x509pop/cn/paymesh-node",
        )
        identity = facts.mesh["identity"]
        found.equal(
            "entry-lifetimes",
            (at(entry, "x509_svid_ttl"), at(entry, "jwt_svid_ttl")),
            (identity["x509_svid_ttl_seconds"], identity["jwt_svid_ttl_seconds"]),
        )
        found.expect(
            not at(entry, "admin") and not at(entry, "downstream"),
            "entry-without-power",
            f"{name} may administrate SPIRE",
        )
