"""A copy of the checkout with as many grants as wanted, and a home to publish it in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2

from paymesh import binaries
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh, repository_root
from paymesh.paths import default_paths
from paymesh.policy import publisher
from paymesh.policy.environment import environment
from paymesh.runtime import pki
from paymesh.runtime.issuer import jwk

_PACKAGE = "paymesh.generated.v1"
_METHODS = 20
# The line that is edited: its caller has no other grant for this RPC.
EDITED_CALLER = "statements"
EDITED_RPC = "/grpc.health.v1.Health/Check"
_EDITED_GRANT = f"""\
  - id: measured
    caller: {EDITED_CALLER}
    rpc: {EDITED_RPC}
    conditions: []
    why: Given and taken back while time is taken.
"""
_FIRST_LINE = "\ngrants:\n"


class Site:
    """A directory; processes that are given its path find everything in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checkout = directory / "checkout"
        self.grants = self.checkout / "policies/paymesh/grants/data.yaml"
        self.descriptors = self.checkout / "policies/descriptors.binpb"
        self.bundles = directory / "bundles"
        self.mesh = load_mesh(port_offset=0)

    @classmethod
    def make(cls, directory: Path, grants: int) -> Site:
        """Copies the checkout and generates what it lacks.

        Args:
            directory: exists and is empty.
            grants: how many there are to be; fewer than the checkout has leaves it at its own.
        """
        root = repository_root()
        site = cls(directory)
        without_tests = shutil.ignore_patterns("pdp", "*_test.rego")
        shutil.copytree(root / "policies", site.checkout / "policies", ignore=without_tests)
        (site.checkout / "deploy").mkdir()
        shutil.copy(root / "deploy/mesh.yaml", site.checkout / "deploy/mesh.yaml")
        site.bundles.mkdir()
        site.enlarge(grants)
        for name in ("bundle.key", "issuer.key"):
            pki.ensure_key(directory / name)
        return site

    def settings(self) -> publisher.Settings:
        """What the publisher of this checkout is given."""
        issuer = pki.ensure_key(self.directory / "issuer.key").public_key()
        return publisher.Settings(
            root=self.checkout,
            directory=self.bundles,
            key=pki.ensure_key(self.directory / "bundle.key"),
            environment=environment(self.mesh, json.dumps({"keys": [jwk(issuer)]})),
            pdp=self.pdp,
            status_file=self.directory / "policy.json",
            archive=self.directory / "archive",
        )

    @property
    def pdp(self) -> Path:
        """The decision point's program, as `paymesh setup` built it."""
        return binaries.built(default_paths(), binaries.PDP)

    @property
    def public_key(self) -> str:
        """Of the bundles' signature: SubjectPublicKeyInfo as PEM."""
        key: ec.EllipticCurvePublicKey = self.settings().key.public_key()
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return key.public_bytes(encoding, form).decode("ascii")

    def principal(self, caller: str) -> str:
        """The SPIFFE ID of a workload."""
        return f"spiffe://{self.mesh.trust_domain}/ns/{self.mesh.namespace}/sa/{caller}"

    def edited(self, *, granted: bool) -> str:
        """The reviewers' file with the measured grant, or without it."""
        text = self.grants.read_text("utf-8").replace(_EDITED_GRANT, "")
        return text.replace(_FIRST_LINE, _FIRST_LINE + _EDITED_GRANT, 1) if granted else text

    def enlarge(self, grants: int) -> None:
        """Adds grants to the reviewers' file until there are so many, and the RPCs that they
        name to the descriptors.
        """
        count = grants - len(load_grants(self.checkout).grants)
        if count <= 0:
            return
        callers = sorted(self.mesh.workloads)
        rpcs = range(-(-count // len(callers)))
        names = [(f"Generated{n // _METHODS:04d}Service", f"Do{n % _METHODS:02d}") for n in rpcs]
        pairs = [(caller, *name) for name in names for caller in callers][:count]
        lines = "".join(
            f"  - id: {caller}-{service}-{method}\n"
            f"    caller: {caller}\n"
            f"    rpc: /{_PACKAGE}.{service}/{method}\n"
            "    conditions: [user_is_customer, body_readable]\n"
            "    why: One of many that nobody asks for while time is taken.\n"
            for caller, service, method in pairs
        )
        text = self.grants.read_text("utf-8")
        before, closed, after = text.partition("\nclosed:\n")
        self.grants.write_text(f"{before.rstrip()}\n{lines}{closed}{after}", "utf-8")
        self._describe(names)

    def _describe(self, names: list[tuple[str, str]]) -> None:
        found = descriptor_pb2.FileDescriptorSet.FromString(self.descriptors.read_bytes())
        file = found.file.add(name="paymesh/generated/v1/generated.proto", package=_PACKAGE)
        file.syntax = "proto3"
        file.message_type.add(name="Empty")
        services: dict[str, descriptor_pb2.ServiceDescriptorProto] = {}
        for service, method in names:
            if service not in services:
                services[service] = file.service.add(name=service)
            empty = f".{_PACKAGE}.Empty"
            services[service].method.add(name=method, input_type=empty, output_type=empty)
        self.descriptors.write_bytes(found.SerializeToString(deterministic=True))
