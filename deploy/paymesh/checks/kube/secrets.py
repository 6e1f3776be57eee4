"""Secrets: everything that pods refer to is there, and certificates last for a while yet."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping

from paymesh.checks.kube.model import DEPLOY, Look
from paymesh.checks.model import Finding, Section
from paymesh.kube import leaves
from paymesh.kube.apply import INPUTS, inputs_of
from paymesh.kube.keep import Contents
from paymesh.kube.objects import Key, Object, decoded, key, pod_template, references
from paymesh.kube.secrets import TRUST

_SOON = dt.timedelta(days=30)
_section = Section("secrets")


def check(look: Look) -> Iterator[Finding]:
    """Yields a finding for each Secret, each certificate in one, and each controller."""
    needed: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for value in look.built:
        for reference in references(value):
            if reference.kind == "Secret" or reference.name == TRUST:
                needed[reference.kind, reference.namespace, reference.name] |= reference.keys
    contents: Contents = {}
    for (kind, namespace, name), keys in sorted(needed.items()):
        place = Key("v1", kind, namespace, name)
        found = look.cluster.find(place)
        data = decoded(found) if found else {}
        if found:
            contents[kind, (namespace, name)] = data
        lacking = sorted(keys - set(data))
        said = None if found and not lacking else f"it lacks {', '.join(lacking)}"
        yield _section.expect(
            f"{place} has what pods need", said if found else "it is not there", DEPLOY
        )
        if kind == "Secret":
            yield from _certificates(place, data)
    for value in look.built_of("Deployment", "StatefulSet"):
        yield from _taken_up(look, value, contents)


def _certificates(place: Key, data: Mapping[str, bytes]) -> Iterator[Finding]:
    now = dt.datetime.now(dt.UTC)
    for name, pem in sorted(data.items()):
        if not name.endswith(".crt"):
            continue
        ends = leaves.expires(pem)
        title = f"{name} of {place} is valid"
        if ends is None:
            yield _section.problem(title, "it is no certificate", DEPLOY)
        elif ends <= now:
            yield _section.problem(title, f"it ran out on {ends:%Y-%m-%d}", DEPLOY)
        elif ends <= now + _SOON:
            yield _section.warning(title, f"it runs out on {ends:%Y-%m-%d}", DEPLOY)
        else:
            yield _section.ok(f"{title} until {ends:%Y-%m-%d}")


def _taken_up(look: Look, built: Object, contents: Contents) -> Iterator[Finding]:
    """Pods read some Secrets at their start only."""
    wanted = inputs_of(built, contents)
    found = look.cluster.find(key(built))
    if wanted is None or found is None:
        return
    annotations = pod_template(found)["metadata"].get("annotations") or {}
    yield _section.expect(
        f"the pods of {key(built)} have started with these Secrets",
        None if annotations.get(INPUTS) == wanted else "a Secret has changed since",
        f"{DEPLOY}: it replaces the pods one by one",
    )
