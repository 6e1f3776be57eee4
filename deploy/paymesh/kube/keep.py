"""Writes what `secrets` plans, and the trust of every pod: what is missing, and no more."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from paymesh.kube.objects import (
    COMPONENT,
    MANAGER,
    PART_OF,
    Key,
    Object,
    decoded,
    references,
)
from paymesh.kube.secrets import TRUST, Place, Plan, Secret
from paymesh.kube.site import Site

Contents = dict[tuple[str, Place], Mapping[str, bytes]]
"""Of the Secrets and ConfigMaps that a deployment makes, by kind and place."""


def keep(site: Site, built: Sequence[Object]) -> Contents:
    """Makes what the build's pods refer to and only a deployment can make.

    Raises:
        ConfigError: something has to be brought, and is not there.
    """
    needed = [reference for value in built for reference in references(value)]
    contents: Contents = {}
    for namespace in sorted({r.namespace for r in needed if r.name == TRUST}):
        contents["ConfigMap", (namespace, TRUST)] = _keep_trust(site, namespace)
    existing: dict[Place, Mapping[str, bytes]] = {
        (namespace, value["metadata"]["name"]): decoded(value)
        for namespace in site.namespaces
        for value in site.cluster.items("v1", "Secret", namespace)
    }
    has_database = any(
        value["kind"] == "StatefulSet" and value["metadata"]["name"] == "postgres"
        for value in built
    )
    plan = Plan(site.mesh, site.home, existing, needed, has_database=has_database)
    for secret in plan.secrets():
        contents["Secret", secret.place] = secret.data
        _keep(site, secret, existing.get(secret.place))
    return contents


def _keep_trust(site: Site, namespace: str) -> Mapping[str, bytes]:
    wanted = Key("v1", "ConfigMap", namespace, TRUST)
    before = site.cluster.find(wanted)
    found = {name: data.decode() for name, data in decoded(before).items()} if before else {}
    # What a cluster brings of its own stays: its users' issuer, its providers' authorities.
    data = {**site.home.trust, **found}
    if before is None:
        value = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(namespace, TRUST),
            "data": data,
        }
        site.cluster.create(value)
    elif data != found:
        site.cluster.patch(wanted, {"data": data})
    return {name: text.encode() for name, text in data.items()}


def _keep(site: Site, secret: Secret, before: Mapping[str, bytes] | None) -> None:
    changed = {
        name: base64.b64encode(data).decode("ascii")
        for name, data in secret.data.items()
        if before is None or before.get(name) != data
    }
    if before is None:
        site.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": secret.type,
                "metadata": metadata(secret.namespace, secret.name),
                "data": changed,
            }
        )
    elif changed:
        site.cluster.patch(Key("v1", "Secret", *secret.place), {"data": changed})


def metadata(namespace: str, name: str) -> Object:
    """Of an object that a deployment makes by itself."""
    return {
        "name": name,
        "namespace": namespace,
        "labels": {PART_OF: MANAGER, COMPONENT: "deployment"},
    }
