"""Each pod's Envoy shows the SPIFFE ID that its service account implies, and no other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from paymesh.checks.kube.model import Look, logs, name_of
from paymesh.checks.model import Finding, Section
from paymesh.kube.errors import ClusterError
from paymesh.kube.objects import Object

_section = Section("identities")


def check(look: Look) -> Iterator[Finding]:
    """Yields a finding for each pod with an Envoy."""
    for workload in look.mesh.sidecars():
        pods = look.workload_pods(workload)
        if not pods:
            yield _section.problem(
                f"{workload.name} has a pod", "there is none", "see section pods above"
            )
        for pod in pods:
            yield _identity(look, pod, workload.name)


def _identity(look: Look, pod: Object, workload: str) -> Finding:
    account = pod["spec"].get("serviceAccountName", "default")
    name = f"{name_of(pod)} has the identity of service account {account}, and no other"
    mend = logs(look.mesh.kubernetes.namespaces["spire_system"], "daemonset/spire-agent", "agent")
    if account != workload:
        return _section.problem(
            name,
            f"its label says {workload}, its service account is {account}",
            "delete the pod and find out who made it",
        )
    try:
        status, found = look.envoy(pod, "/certs")
    except (ClusterError, ValueError) as error:
        return _section.problem(name, f"its Envoy cannot be asked: {error}", mend)
    if status != HTTPStatus.OK:
        return _section.problem(name, f"/certs says {status}", mend)
    said = wrong_certificates(found, look.mesh.spiffe_id(account), dt.datetime.now(dt.UTC))
    return _section.expect(name, said, mend)


def wrong_certificates(certs: Any, spiffe_id: str, now: dt.datetime) -> str | None:
    """What is wrong with the certificates that an Envoy has; None when nothing is.

    Args:
        certs: the answer to /certs (Envoy's documentation, "Administration interface").
        spiffe_id: the only one that it may have.
        now: with a time zone.
    """
    chains = [
        certificate
        for entry in certs.get("certificates", [])
        for certificate in entry.get("cert_chain", [])
    ]
    own = [c for c in chains if any("uri" in san for san in c.get("subject_alt_names", []))]
    found = {san["uri"] for c in own for san in c["subject_alt_names"] if "uri" in san}
    if found != {spiffe_id}:
        return f"it has {', '.join(sorted(found)) or 'none'}"
    ends = [dt.datetime.fromisoformat(c["expiration_time"]) for c in own]
    if min(ends) <= now:
        return f"it ran out at {min(ends).isoformat()}"
    return None
