"""A cluster's keys and authorities on this machine: what signs never enters the cluster.

`$PAYMESH_HOME/clusters/<context>/` is laid out like a mesh's home, so that whatever takes
`Paths` works with it: tokens of end users, the gateway's authority.

    secrets/pki/    bundle.key, and the authorities edge, platform, providers (0600, 0700)
    issuer/         key.pem, jwks.json
    edge/ca.pem     what end users' clients trust
    cluster-uid     which cluster all of this is for
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.errors import ConfigError
from paymesh.kube.objects import Object, decoded
from paymesh.paths import Paths
from paymesh.runtime import issuer, pki
from paymesh.runtime.files import ensure_directory, write_file

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_DIGITS = 12
_UID = "cluster-uid"


@dataclasses.dataclass(frozen=True, repr=False)
class Home:
    """One cluster's local side."""

    paths: Paths
    bundle_key: ec.EllipticCurvePrivateKey
    edge: pki.Authority
    platform: pki.Authority
    providers: pki.Authority
    jwks: str

    @property
    def trust(self) -> dict[str, str]:
        """The contents of ConfigMap paymesh-trust: public parts, for every pod to read."""
        return {
            "bundle-key.pem": pki.public_pem(self.bundle_key).decode("ascii"),
            "jwks.json": self.jwks,
            "platform-ca.pem": self.platform.pem.decode("ascii"),
            "providers-ca.pem": self.providers.pem.decode("ascii"),
        }


def cluster_paths(paths: Paths, context: str) -> Paths:
    """Where the local side of a context's cluster stands."""
    return dataclasses.replace(paths, home=paths.home / "clusters" / directory_name(context))


def directory_name(context: str) -> str:
    """A file name for a context, which may have any characters, as in an ARN."""
    if _PLAIN.fullmatch(context):
        return context
    digest = hashlib.sha256(context.encode()).hexdigest()[:_DIGITS]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', context)[-40:].strip('-.')}-{digest}"


def is_there(paths: Paths, context: str) -> bool:
    """Whether anything was deployed from this home to that context."""
    return (cluster_paths(paths, context).secrets / "pki" / "bundle.key").is_file()


def ensure_home(paths: Paths, context: str) -> Home:
    """Makes what is missing and returns it.

    Args:
        paths: of the machine, not of the cluster.
        context: of the kubeconfig.
    """
    own = cluster_paths(paths, context)
    _ensure_parents(paths.home)
    ensure_directory(own.home.parent, 0o700)
    for directory in (own.home, own.secrets, own.secrets / "pki", own.home / "edge"):
        ensure_directory(directory, 0o700)
    keys = own.secrets / "pki"
    edge = pki.ensure_authority(keys, "edge")
    write_file(own.home / "edge" / "ca.pem", edge.pem, 0o644)
    return Home(
        paths=own,
        bundle_key=pki.ensure_key(keys / "bundle.key"),
        edge=edge,
        platform=pki.ensure_authority(keys, "platform"),
        providers=pki.ensure_authority(keys, "providers"),
        jwks=issuer.ensure_issuer(own),
    )


def require_cluster(paths: Paths, context: str, uid: str) -> None:
    """Refuses a context that names another cluster than it did when its keys were made: a
    name can be given again, in another kubeconfig or to a new cluster.

    Args:
        paths: of the machine.
        context: of the kubeconfig.
        uid: of namespace kube-system, which nothing but a new cluster changes.

    Raises:
        ConfigError: it is another one.
    """
    own = cluster_paths(paths, context)
    try:
        known = (own.home / _UID).read_text("ascii").strip()
    except FileNotFoundError:
        return
    if known != uid:
        raise ConfigError(
            f"context {context!r} now names another cluster than the one that the keys in"
            f" {own.home} were made for. If that one is gone, rename or remove this directory;"
            " if not, give one of the two another context (`kubectl config rename-context`)"
        )


def remember_cluster(home: Home, uid: str) -> None:
    """Writes down which cluster a home is for."""
    write_file(home.paths.home / _UID, f"{uid}\n", 0o644)


def forget_cluster(paths: Paths, context: str) -> None:
    """For who knows that the cluster is gone and another has its name; the keys stay."""
    (cluster_paths(paths, context).home / _UID).unlink(missing_ok=True)


def require_ours(home: Home, trust: Object | None, context: str) -> None:
    """Refuses a cluster whose keys are somebody else's: replacing them would lock its
    decision points out of every policy that follows.

    Args:
        home: of this machine.
        trust: ConfigMap paymesh-trust as it stands in the cluster, None before the first deploy.
        context: for the text.

    Raises:
        ConfigError: it was deployed from another home.
    """
    if trust is None:
        return
    found = decoded(trust)
    own = home.trust
    for name in ("bundle-key.pem", "platform-ca.pem"):
        if name in found and found[name].decode(errors="replace").strip() != own[name].strip():
            raise ConfigError(
                f"the mesh in context {context!r} was deployed from another home: its {name} is not"
                f" the one in {home.paths.home}. Set PAYMESH_HOME to the home that deployed it,"
                " or `paymesh undeploy` first"
            )


def _ensure_parents(directory: Path) -> None:
    """A home that `paymesh up` never made: closed to others, as its contents are."""
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        ensure_directory(directory, 0o700)
