"""NetworkPolicies: those that were built and no other, and what they allow is what is granted."""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.checks.kube import reach
from paymesh.checks.kube.model import DEPLOY, Look
from paymesh.checks.kube.reach import Pod
from paymesh.checks.model import Finding, Section
from paymesh.kube import narrow
from paymesh.kube.objects import NAME, PART_OF, Object, key

_KIND = ("networking.k8s.io/v1", "NetworkPolicy")
_STRANGER = "stranger"
_section = Section("network")


def check(look: Look) -> Iterator[Finding]:
    """Yields a finding for each policy, for policies of others, and for the edges."""
    built = look.built_of("NetworkPolicy")
    for value in built:
        place = key(value)
        name = f"{place} is as built"
        yield _section.expect(name, look.differs(value), DEPLOY)
    live = [value for ns in look.site.namespaces for value in look.cluster.items(*_KIND, ns)]
    yield _no_other(built, live)
    yield api_server(live, narrow.current(look.cluster))
    yield _edges(look, live)


def _no_other(built: list[Object], live: list[Object]) -> Finding:
    known = {key(value) for value in built}
    others = [key(value) for value in live if key(value) not in known]
    first = others[0] if others else None
    return _section.expect(
        "no other policy opens anything in these namespaces",
        f"there is {', '.join(str(place) for place in others)}" if others else None,
        f"`kubectl --namespace {first.namespace} delete networkpolicy {first.name}`"
        if first
        else DEPLOY,
    )


def api_server(live: list[Object], endpoints: list[tuple[str, int]]) -> Finding:
    """Whether the policies still let those who have to reach the API server where it is now.

    Args:
        live: the cluster's policies.
        endpoints: as `narrow.current` has them.
    """
    late = [
        f"{key(policy)} leaves out {', '.join(f'{address}:{port}' for address, port in left_out)}"
        for policy in live
        if (left_out := narrow.uncovered(policy, endpoints))
    ]
    return _section.expect(
        "policies let through to the API server where it stands now",
        f"{'; '.join(late)}: it has moved since they were written" if late else None,
        f"{DEPLOY}; where it moves by itself, give the policy the annotation"
        f" {narrow.ANNOTATION}: {narrow.ANY} in your overlay",
    )


def _edges(look: Look, live: list[Object]) -> Finding:
    """Between all workloads, and from pods that are none of them."""
    mesh = look.mesh
    wanted = {
        (caller, callee)
        for callee, callers in look.grants.edges(mesh).items()
        for caller in callers
    }
    sources = {name: _pod(mesh.namespace, name) for name in mesh.workloads}
    sources[_STRANGER] = _pod(mesh.namespace, _STRANGER)
    # The right labels in the wrong place.
    sources |= {f"default/{name}": _pod("default", name) for name in mesh.workloads}
    found = {
        (source, callee.name)
        for source, pod in sources.items()
        for callee in mesh.services()
        if source != callee.name
        and reach.may_connect(live, pod, sources[callee.name], int(callee.port or 0))
    }
    more = [f"{a} can reach {b} and is not granted to" for a, b in sorted(found - wanted)]
    less = [f"{a} cannot reach {b} and is granted to" for a, b in sorted(wanted - found)]
    return _section.expect(
        f"pods can reach each other exactly where it is granted: {len(wanted)} edges",
        "; ".join(more + less) or None,
        f"`paymesh render`, then {DEPLOY}",
    )


def _pod(namespace: str, name: str) -> Pod:
    return Pod(namespace, {NAME: name, PART_OF: "paymesh"})
