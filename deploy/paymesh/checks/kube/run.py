"""The sections, in the order in which one depends on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from paymesh.checks import sections
from paymesh.checks.kube import (
    admission,
    cluster,
    database,
    endtoend,
    identities,
    images,
    network,
    pods,
    policy,
    secrets,
    spire,
)
from paymesh.checks.kube.model import Look
from paymesh.checks.model import Finding
from paymesh.kube.errors import Unreachable

SECTIONS: dict[str, Callable[[Look], Iterator[Finding]]] = {
    "cluster": cluster.check,
    "pods": pods.check,
    "images": images.check,
    "spire": spire.check,
    "identities": identities.check,
    "network": network.check,
    "admission": admission.check,
    "secrets": secrets.check,
    "policy": policy.check,
    "database": database.check,
    "end-to-end": endtoend.check,
}


def run(look: Look) -> Iterator[Finding]:
    """Every finding of every section."""
    return sections.run(
        SECTIONS,
        look,
        "run `paymesh deploy`, then `paymesh check --kube` again",
        {Unreachable: "bring the cluster up, or name another --context"},
    )
