"""Where things stand on this machine. The checkout itself is never written to."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from paymesh.errors import ConfigError

# sockaddr_un.sun_path holds 108 bytes with the final NUL (unix(7)).
_LONGEST_SOCKET = len("/run/spire-server/private/api.sock")
_SUN_PATH_BYTES = 107


@dataclasses.dataclass(frozen=True)
class Paths:
    """`home` is this mesh's state; `cache` is shared by all of a user's meshes."""

    home: Path
    cache: Path

    @property
    def run(self) -> Path:
        """One directory for each workload and platform process that has sockets."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.home / "log"

    @property
    def data(self) -> Path:
        """What outlives a restart: databases, SPIRE's keys, the simulators' state."""
        return self.home / "data"

    @property
    def issuer(self) -> Path:
        """The end users' token issuer: `key.pem` (private) and `jwks.json`."""
        return self.home / "issuer"

    @property
    def secrets(self) -> Path:
        """What only the supervisor reads: passwords of roles, keys of authorities."""
        return self.home / "secrets"

    @property
    def bundles(self) -> Path:
        """Where signed policy bundles are published to and served from."""
        return self.data / "bundles"

    @property
    def bundle_signing_key(self) -> Path:
        """Private key of the policy bundle's signature, PKCS #8 PEM."""
        return self.secrets / "pki" / "bundle.key"

    @property
    def shadow_signing_key(self) -> Path:
        """The same of a shadow policy's bundle, which no decision point enforces."""
        return self.secrets / "pki" / "shadow.key"

    @property
    def launch(self) -> Path:
        """Without root: a copy of each program for each workload, so that paths tell them apart."""
        return self.home / "launch"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor takes requests: JSON lines."""
        return self.home / "control.sock"

    @property
    def lock_file(self) -> Path:
        """Locked (flock) for as long as a supervisor of this home lives."""
        return self.home / "supervisor.lock"

    @property
    def status_file(self) -> Path:
        """The supervisor's view of its processes, as JSON."""
        return self.home / "supervisor.json"

    @property
    def policy_status(self) -> Path:
        """How the last attempt to publish the policies went, as JSON."""
        return self.home / "policy.json"

    @property
    def policy_archive(self) -> Path:
        """Every bundle that was published, by revision."""
        return self.home / "policy-archive"

    def workload(self, name: str) -> Path:
        """The runtime directory of a workload or platform process."""
        return self.run / name

    def pdp_token(self, workload: str) -> Path:
        """Bearer token of one decision point's API; the workload has a copy."""
        return self.secrets / f"pdp-token-{workload}"

    def password(self, role: str) -> Path:
        """Password of a role of the database; a service's is named like its database."""
        return self.secrets / f"postgres-{role}"

    def log(self, process: str) -> Path:
        """The log of one process."""
        return self.logs / f"{process}.log"


def default_paths() -> Paths:
    """PAYMESH_HOME and PAYMESH_CACHE, or the places that the system has for it:
    /var for root, the XDG directories otherwise.

    Raises:
        ConfigError: the path is relative, too long for a Unix socket, or no UTF-8, which
            connection strings have to be.
    """
    user_home = Path.home()
    if os.geteuid() == 0:
        home, cache = Path("/var/lib/paymesh"), Path("/var/cache/paymesh")
    else:
        state = os.environ.get("XDG_STATE_HOME") or user_home / ".local/state"
        caches = os.environ.get("XDG_CACHE_HOME") or user_home / ".cache"
        home, cache = Path(state) / "paymesh", Path(caches) / "paymesh"
    paths = Paths(
        home=Path(os.environ.get("PAYMESH_HOME") or home),
        cache=Path(os.environ.get("PAYMESH_CACHE") or cache),
    )
    if not paths.home.is_absolute() or not paths.cache.is_absolute():
        raise ConfigError("PAYMESH_HOME and PAYMESH_CACHE must be absolute paths")
    try:
        str(paths.home).encode()
    except UnicodeEncodeError:
        raise ConfigError("PAYMESH_HOME is no UTF-8: set it to a path that is") from None
    if len(os.fsencode(paths.home)) + _LONGEST_SOCKET > _SUN_PATH_BYTES:
        raise ConfigError(
            f"{paths.home} is too long for a Unix socket below it:"
            " set PAYMESH_HOME to a shorter path"
        )
    return paths
