"""What an attacker may have: stolen, stale and forged."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography import x509

from paymesh import binaries, dial, users
from paymesh.demo.refusals import forge
from paymesh.errors import StartError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import launch

FOREIGN_TRUST_DOMAIN = "elsewhere.example"
_SHORT_LIFE_SECONDS = 1
_MINT_TIMEOUT_SECONDS = 20
_AT_ONCE = 3


@dataclasses.dataclass(frozen=True, repr=False)
class Loot:
    """Everything that a state of docs/attack-paths.md may have; never printed.

    Attributes:
        live: each workload's SVID, as a process in its place gets it.
        expired: SVIDs of the same names from the same authority, past their end.
        foreign: the same paths in another trust domain, from an authority of that one.
        tokens: by end user, a token that is good for deploy/mesh.yaml's token_ttl_seconds.
        passwords: by database, its role's.
        provider_keys: by provider or bank data API.
        pdp_tokens: by workload, of its decision point's data API.
        bundle_tokens: by workload, for the bundle server.
    """

    live: Mapping[str, dial.Svid]
    expired: Mapping[str, dial.Svid]
    foreign: Mapping[str, dial.Svid]
    tokens: Mapping[str, str]
    passwords: Mapping[str, str]
    provider_keys: Mapping[str, str]
    pdp_tokens: Mapping[str, str]
    bundle_tokens: Mapping[str, str]


@contextlib.contextmanager
def gathering(paths: Paths, mesh: Mesh) -> Iterator[concurrent.futures.Future[Loot]]:
    """Gathers in the background, because expired certificates have to be waited for.

    Args:
        paths: of a mesh that is up.
        mesh: whose.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(gather, paths, mesh)


def gather(paths: Paths, mesh: Mesh) -> Loot:
    """Everything, as it is now; takes some seconds.

    Raises:
        PaymeshError: a workload has no identity, or the mesh was never up.
    """
    names = list(mesh.workloads)
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        # First: they grow old while the rest is gathered.
        minting = [pool.submit(_mint, paths, mesh, name) for name in names]
        fetching = [pool.submit(dial.fetch_svid, paths, mesh, name) for name in names]
        live = dict(zip(names, (future.result() for future in fetching), strict=True))
        expired = dict(zip(names, (future.result() for future in minting), strict=True))
    services = [workload.name for workload in mesh.services()]
    databases = [workload.database for workload in mesh.services() if workload.database]
    loot = Loot(
        live=live,
        expired=expired,
        foreign={name: forge(live[name], _foreign_id(mesh, name)) for name in names},
        tokens={name: users.token(paths, mesh, name) for name in mesh.users.known},
        passwords={name: _read(paths.password(name)) for name in databases},
        provider_keys={name: _read(paths.secrets / f"{name}.key") for name in mesh.external},
        pdp_tokens={name: _read(paths.pdp_token(name)) for name in services},
        bundle_tokens={name: _read(paths.secrets / f"bundle-token-{name}") for name in services},
    )
    _wait_until_expired(loot.expired.values())
    return loot


def _foreign_id(mesh: Mesh, workload: str) -> str:
    path = mesh.spiffe_id(workload).removeprefix(f"spiffe://{mesh.trust_domain}")
    return f"spiffe://{FOREIGN_TRUST_DOMAIN}{path}"


def _mint(paths: Paths, mesh: Mesh, workload: str) -> dial.Svid:
    """An SVID of this name that lives for a second, from SPIRE's own authority."""
    spiffe_id = mesh.spiffe_id(workload)
    with tempfile.TemporaryDirectory(dir=paths.secrets, prefix="minted-") as name:
        directory = Path(name)
        done = subprocess.run(
            [
                str(binaries.built(paths, "spire-server")),
                *("x509", "mint", "-ttl", f"{_SHORT_LIFE_SECONDS}s"),
                *("-spiffeID", spiffe_id),
                *("-socketPath", str(paths.workload("spire-server") / "private.sock")),
                *("-write", name),
            ],
            capture_output=True,
            text=True,
            timeout=_MINT_TIMEOUT_SECONDS,
            check=False,
            env=launch.minimal_environment(directory, {}),
        )
        if done.returncode != 0:
            raise StartError(f"SPIRE does not mint for {workload}: {done.stderr.strip()}")
        certificates, key, bundle = (
            (directory / file).read_bytes() for file in ("svid.pem", "key.pem", "bundle.pem")
        )
    return dial.Svid(spiffe_id, certificates, key, bundle)


def _wait_until_expired(svids: Iterable[dial.Svid]) -> None:
    ends = [x509.load_pem_x509_certificate(svid.certificates).not_valid_after_utc for svid in svids]
    while dt.datetime.now(dt.UTC) <= max(ends):
        time.sleep(0.1)


def _read(path: Path) -> str:
    return path.read_text("utf-8").strip()
