"""Under which uid, gid and groups each process runs.

As root every workload and every platform process has numbers of its own, which
need no line in the password file; only PostgreSQL's `initdb` insists on one.
Without root everything runs as the one user there is.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from paymesh.errors import ConfigError, SetupError
from paymesh.mesh import Mesh

POSTGRES = "postgres"
_OWN_POSTGRES_USER = "paymesh-postgres"

# Bits of CapEff (capabilities(7)) without which root cannot become somebody else.
_NEEDED_CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "KILL": 5, "SETGID": 6, "SETUID": 7}
_CAP_SETPCAP = 8


@dataclasses.dataclass(frozen=True)
class Account:
    """Numeric identity of a process; `groups` are the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Accounts:
    """The accounts of one mesh. `separate` is false when all share one uid."""

    mesh: Mesh
    separate: bool

    def of(self, name: str) -> Account | None:
        """The account of a workload or platform process; None: as the supervisor itself.

        Raises:
            SetupError: PostgreSQL's system user is missing and cannot be made.
        """
        if not self.separate:
            return None
        if name == POSTGRES:
            user = postgres_user()
            return Account(user.pw_uid, user.pw_gid, (self.mesh.database_gid,))
        uid = self.mesh.uid(name)
        return Account(uid, uid, self._groups(name))

    def _groups(self, name: str) -> tuple[int, ...]:
        workload = self.mesh.workloads.get(name)
        groups = []
        if workload is not None or name == "spire-agent":
            groups.append(self.mesh.agent_gid)
        if name == "spire-server" or (workload is not None and workload.database):
            groups.append(self.mesh.database_gid)
        return tuple(groups)


def load_accounts(mesh: Mesh) -> Accounts:
    """The accounts that this process may switch to.

    Raises:
        ConfigError: root in a container that may not switch users: PostgreSQL
            refuses to run as root, so nothing would come of it.
    """
    if os.geteuid() != 0:
        return Accounts(mesh, separate=False)
    effective = _capabilities()
    missing = [name for name, bit in _NEEDED_CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        raise ConfigError(
            f"root lacks CAP_{missing[0]} here and cannot switch users: run as an ordinary user"
        )
    highest = mesh.database_gid
    for kind in ("uid", "gid"):
        if not _is_mapped(Path(f"/proc/self/{kind}_map").read_text("ascii"), highest):
            raise ConfigError(
                f"{kind} {highest} is not mapped in this user namespace: run as an ordinary user"
            )
    return Accounts(mesh, separate=True)


def may_drop_bounding_set() -> bool:
    """Whether this process holds CAP_SETPCAP."""
    return bool(_capabilities() >> _CAP_SETPCAP & 1)


def postgres_user() -> pwd.struct_passwd:
    """The system user that PostgreSQL runs as: the machine's own or one made for it.

    Raises:
        SetupError: it cannot be made.
    """
    for name in (POSTGRES, _OWN_POSTGRES_USER):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise SetupError(f"PostgreSQL needs a system user: create {_OWN_POSTGRES_USER!r}")
    made = subprocess.run(
        [
            useradd,
            "--system",
            "--user-group",
            "--no-create-home",
            *("--home-dir", "/nonexistent"),
            *("--shell", "/usr/sbin/nologin"),
            _OWN_POSTGRES_USER,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    try:
        return pwd.getpwnam(_OWN_POSTGRES_USER)
    except KeyError:
        reason = made.stderr.strip() or f"useradd exited with {made.returncode}"
        raise SetupError(f"system user {_OWN_POSTGRES_USER!r} cannot be made: {reason}") from None


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _is_mapped(table: str, number: int) -> bool:
    """Whether `number` stands in a uid_map or gid_map (user_namespaces(7))."""
    for line in table.splitlines():
        inside, _, length = (int(field) for field in line.split())
        if inside <= number < inside + length:
            return True
    return False
