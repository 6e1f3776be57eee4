"""An end user's call through the gateway, two Envoys, policy and the service to its database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from paymesh.checks import endtoend
from paymesh.checks.kube.model import Look
from paymesh.checks.model import Context, Finding, Level, Section
from paymesh.kube.errors import ClusterError
from paymesh.kube.gateway import open_gateway

_section = Section("end-to-end")


def check(look: Look) -> Iterator[Finding]:
    """Yields what the same section says on one machine, through a forwarded port."""
    mend = (
        "mend what is named above, then see"
        f" `kubectl --namespace {look.mesh.namespace} logs deployment/gateway --container envoy`"
    )
    try:
        with open_gateway(look.site) as (paths, mesh):
            for finding in endtoend.check(Context(paths, mesh, look.grants)):
                if finding.level is Level.OK:
                    yield finding
                else:
                    yield dataclasses.replace(finding, mend=mend)
    except ClusterError as error:
        yield _section.problem("an end user's call is answered", str(error), mend)
