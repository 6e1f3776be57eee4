"""The sections, in the order in which one depends on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from paymesh.checks import (
    binaries,
    database,
    endtoend,
    envoy,
    identities,
    policy,
    processes,
    sections,
    sockets,
    spire,
)
from paymesh.checks.model import Context, Finding

SECTIONS: dict[str, Callable[[Context], Iterator[Finding]]] = {
    "binaries": binaries.check,
    "processes": processes.check,
    "spire": spire.check,
    "identities": identities.check,
    "envoy": envoy.check,
    "policy": policy.check,
    "sockets": sockets.check,
    "database": database.check,
    "end-to-end": endtoend.check,
}


def run(context: Context) -> Iterator[Finding]:
    """Every finding of every section."""
    return sections.run(SECTIONS, context, "run `paymesh up`, then `paymesh check` again")
