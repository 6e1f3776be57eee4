"""Channels into the mesh: as an end user at the gateway, from a workload's sidecar, and
with a workload's SVID straight at another's Envoy, which is what an intruder would do.
"""

from __future__ import annotations

import dataclasses
import json

import grpc

from paymesh import users
from paymesh.calls import Metadata
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import exec_as

_FETCH_TIMEOUT_SECONDS = 20

# Runs as the workload, in whose place it is, and prints what `read_svid` reads. Nothing that ships
# prints a key.
FETCH_SVID = """
import json
from cryptography.hazmat.primitives.serialization import (
    Encoding, NoEncryption, PrivateFormat)
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    context = client.fetch_x509_context(timeout=15)
svid = context.default_svid
bundle = context.x509_bundle_set.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
pem = lambda certificates: "".join(c.public_bytes(Encoding.PEM).decode() for c in certificates)
print(json.dumps({
    "spiffe_id": str(svid.spiffe_id),
    "certificates": pem(svid.cert_chain),
    "key": svid.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "bundle": pem(bundle.x509_authorities),
}))
"""


@dataclasses.dataclass(frozen=True, repr=False)
class Svid:
    """An X509-SVID with its key and the trust domain's bundle, all PEM."""

    spiffe_id: str
    certificates: bytes
    key: bytes
    bundle: bytes


def user_metadata(paths: Paths, mesh: Mesh, name: str) -> Metadata:
    """The header that makes a call this user's.

    Raises:
        ConfigError: no such user, or the mesh was never up.
    """
    return (("authorization", f"Bearer {users.token(paths, mesh, name)}"),)


def gateway(paths: Paths, mesh: Mesh) -> grpc.Channel:
    """TLS to the gateway's public listener, as an end user's client has it."""
    ca = paths.home / "edge" / "ca.pem"
    try:
        credentials = grpc.ssl_channel_credentials(ca.read_bytes())
    except OSError as error:
        raise ConfigError(f"{ca} cannot be read: run `paymesh up` first") from error
    port = mesh.workloads["gateway"].port
    return grpc.secure_channel(f"{mesh.address}:{port}", credentials)


def workload(paths: Paths, mesh: Mesh, name: str, rpc_service: str) -> grpc.Channel:
    """A workload's own way out: its sidecar's outbound socket, or for a workload
    without one a direct connection with its SVID.

    Raises:
        ConfigError: no such workload, or its socket is not there or not ours to open.
    """
    known = mesh.workloads.get(name)
    if known is None:
        names = ", ".join(mesh.workloads)
        raise ConfigError(f"there is no workload {name!r}; deploy/mesh.yaml names {names}")
    if known.kind == "job":
        callee = mesh.service_of(f"/{rpc_service}/-")
        if callee is None:
            raise ConfigError(f"no workload serves {rpc_service}")
        return direct(mesh, callee.name, fetch_svid(paths, mesh, name))
    socket = paths.workload(name) / "outbound.sock"
    if not socket.is_socket():
        raise ConfigError(f"{socket} is not there: is the mesh up? See `paymesh status`")
    return grpc.insecure_channel(
        f"unix:{socket}", options=[("grpc.default_authority", f"{name}.{mesh.trust_domain}")]
    )


def direct(mesh: Mesh, callee: str, svid: Svid) -> grpc.Channel:
    """MTLS straight to the callee's Envoy, past any sidecar of the caller's."""
    credentials = grpc.ssl_channel_credentials(svid.bundle, svid.key, svid.certificates)
    return grpc.secure_channel(
        f"{mesh.address}:{mesh.workloads[callee].port}",
        credentials,
        options=[("grpc.ssl_target_name_override", f"{callee}.{mesh.trust_domain}")],
    )


def without_certificate(mesh: Mesh, callee: str, bundle: bytes) -> grpc.Channel:
    """TLS straight to the callee's Envoy by somebody who has nothing to show."""
    return grpc.secure_channel(
        f"{mesh.address}:{mesh.workloads[callee].port}",
        grpc.ssl_channel_credentials(bundle),
        options=[("grpc.ssl_target_name_override", f"{callee}.{mesh.trust_domain}")],
    )


def fetch_svid(paths: Paths, mesh: Mesh, name: str) -> Svid:
    """The SVID that the Workload API gives to a process of this workload.

    Raises:
        ConfigError: the agent knows no such workload or does not answer.
    """
    done = exec_as(
        paths,
        mesh,
        name,
        ["-c", FETCH_SVID],
        env={"SPIFFE_ENDPOINT_SOCKET": f"unix://{paths.workload('spire-agent')}/api.sock"},
        timeout_seconds=_FETCH_TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        raise ConfigError(f"{name} has no identity: {last[0]}")
    return read_svid(done.stdout)


def read_svid(printed: str) -> Svid:
    """What `FETCH_SVID` printed."""
    value = json.loads(printed)
    return Svid(
        value["spiffe_id"],
        value["certificates"].encode(),
        value["key"].encode(),
        value["bundle"].encode(),
    )
