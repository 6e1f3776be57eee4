"""What attempts are made from: addresses, certificates, tokens."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from paymesh.attack.loot import Loot
from paymesh.attack.model import NONE, OWN, Arm
from paymesh.attack.probe import doors
from paymesh.attack.probe.agent.plan import Address, Certificate
from paymesh.dial import Svid
from paymesh.mesh import Mesh
from paymesh.paths import Paths

USER = "user:"


class Requests(Protocol):
    """`Plants`, or what a test has in its place."""

    def requests(self, rpc: str, nonce: str) -> tuple[bytes, ...]:
        """The requests of an RPC that would succeed for somebody who may make it."""


class Staged(Protocol):
    """`Stage`, or what a test has in its place."""

    @property
    def arm(self) -> Arm:
        """Which arm runs."""

    @property
    def root(self) -> Path:
        """The checkout that it runs from."""

    @property
    def paths(self) -> Paths:
        """Of its home."""

    @property
    def mesh(self) -> Mesh:
        """Its workloads and ports."""

    @property
    def plants(self) -> Requests:
        """The objects that requests are about."""

    @property
    def loot(self) -> Loot:
        """What an attacker may have."""

    @property
    def databases(self) -> Mapping[str, tuple[str, int]]:
        """By name, where it listens on the network; empty where it does not."""


@dataclasses.dataclass(frozen=True)
class Ground:
    """A stage, and what was found lying about on it.

    Attributes:
        stage: the arm that runs.
        found: position → credential → the secret that could be read there, out of files that
            are none of that position's own.
    """

    stage: Staged
    found: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def mesh(self) -> Mesh:
        """The stage's."""
        return self.stage.mesh

    @property
    def paths(self) -> Paths:
        """The stage's."""
        return self.stage.paths

    @functools.cached_property
    def envoys(self) -> Mapping[str, doors.Envoy]:
        """By workload, where its Envoy listens."""
        return doors.envoys(self.stage.root, self.mesh, self.paths)

    def tcp(self, port: int | None) -> Address:
        """A port of the mesh."""
        if port is None:
            raise ValueError("no port")
        return {"tcp": (self.mesh.address, port)}

    def unix(self, owner: str, name: str) -> Address:
        """A socket in the runtime directory of a workload or platform process."""
        return {"unix": str(self.paths.workload(owner) / name)}

    def secret(self, credential: str) -> str:
        """What a credential consists of.

        Raises:
            KeyError: there is no such credential.
        """
        kind, _, name = credential.partition(":")
        loot = self.stage.loot
        secrets: Mapping[str, Mapping[str, str]] = {
            "user": loot.tokens,
            "database": loot.passwords,
            "provider": loot.provider_keys,
            "decision-point": loot.pdp_tokens,
            "bundle": loot.bundle_tokens,
        }
        return secrets[kind][name]

    def shown(self, position: str, credential: str, opens: str) -> list[tuple[str, str | None]]:
        """What is presented for a credential that is no user's token, with words that say
        where it is from: the secret; for `none` nothing, and then whatever of the kind
        `opens` can be read at this position.
        """
        if credential != NONE:
            return [("", self.secret(credential))]
        lying = self.found.get(position, {})
        return [
            ("", None),
            *((", read from a file", lying[name]) for name in lying if name == opens),
        ]

    def certificates(self) -> dict[str, Certificate]:
        """Every certificate that is shown, by the identity's name."""
        loot = self.stage.loot
        kinds = {"live": loot.live, "expired": loot.expired, "foreign": loot.foreign}
        return {
            f"{kind}:{name}": _certificate(svid)
            for kind, svids in kinds.items()
            for name, svid in svids.items()
        }

    def certificate(self, position: str, identity: str) -> str:
        """Under which name the certificate of an identity is in `certificates`."""
        return f"live:{position}" if identity == OWN else identity


def _certificate(svid: Svid) -> Certificate:
    return {"chain": svid.certificates.decode("ascii"), "key": svid.key.decode("ascii")}
