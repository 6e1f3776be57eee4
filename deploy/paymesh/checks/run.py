"""Runs the sections in the order in which one depends on the other."""

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
    sockets,
    spire,
)
from paymesh.checks.model import Context, Finding, Section

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
    """Every finding of every section. A section that breaks is a finding itself."""
    for name, check in SECTIONS.items():
        try:
            yield from check(context)
        except Exception as error:  # noqa: BLE001 — whatever it is, the other sections go on
            yield Section(name).problem(
                "can be checked",
                f"{type(error).__name__}: {error}",
                "run `paymesh up`, then `paymesh check` again",
            )
