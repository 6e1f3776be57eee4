"""The copy of the checkout that an arm runs from. The product itself has no insecure switch:
what an arm lacks is taken out of its copy.
"""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

from paymesh.attack.arms import documents, envoy, policy
from paymesh.attack.model import Arm
from paymesh.attack.relay.process import RELAY, databases, port_name
from paymesh.mesh import Mesh, load_mesh

ARM_FILE = Path("deploy/arm.yaml")
DATABASE_DOOR = "database"
"""In `network_doors` of the arm's file: databases have a port on the network."""

_RELAY_UID_OFFSET = 94
_FIRST_DATABASE_PORT = 18550
# Of the copy's list of processes: what follows which line.
_MORE_LINES = {
    "from paymesh.mesh import Workload\n": "from paymesh.attack.relay import process as relay\n",
    "            self._simulators(),\n": (
        "            relay.spec(self._workspace, self.programs.python),\n"
    ),
}
_NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
)


def build(arm: Arm, source: Path, target: Path) -> None:
    """Copies the checkout and takes out of the copy what the arm does not have.

    Args:
        arm: which.
        source: a checkout as it is shipped.
        target: where the copy is made; must not exist.

    Raises:
        SetupError: a file of the checkout does not have the form that the arm changes.
        OSError: it cannot be copied.
    """
    shutil.copytree(source, target, ignore=_NOT_SOURCE, symlinks=True)
    _open(target)
    mesh = load_mesh(target, port_offset=0)
    if arm == "D":
        policy.drop_conditions(target, arm)
    elif arm != "E":
        policy.grant_everything(target, arm)
    if arm == "B":
        envoy.admit_the_trust_domain(target, mesh, arm)
    elif arm == "A":
        envoy.remove_tls(target, mesh, arm)
        policy.believe_claims(target)
    doors = [DATABASE_DOOR] if arm in {"A", "B"} else []
    if doors:
        _open_databases(target, mesh, arm)
    documents.write(target / ARM_FILE, arm, {"arm": arm, "network_doors": doors})


def _open(root: Path) -> None:
    """The checkout is no secret: whoever is on the machine may read it, whatever the umask was."""
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        enter = 0o111 if path.is_dir() or mode & 0o100 else 0
        path.chmod((mode | 0o444 | enter) & ~0o022)


def _open_databases(root: Path, mesh: Mesh, arm: Arm) -> None:
    """Names the ports, and has the supervisor run what opens them."""

    def change(document: Any) -> None:
        ports = document["local"]["ports"]
        for number, name in enumerate(databases(mesh)):
            ports[port_name(name)] = _FIRST_DATABASE_PORT + number
        document["platform"][RELAY] = {"uid_offset": _RELAY_UID_OFFSET}

    documents.edit(root / "deploy" / "mesh.yaml", arm, change)
    documents.edit(root / "deploy" / "attack" / "inventory.yaml", arm, _declare_databases)
    processes = root / "deploy" / "paymesh" / "runtime" / "processes.py"
    for line, more in _MORE_LINES.items():
        documents.replace_text(processes, line, line + more, times=1)


def _declare_databases(document: Any) -> None:
    document["listeners"].append(
        {
            "each": "databases",
            "process": RELAY,
            "tcp": "local.ports.database_{database}",
            "owner": RELAY,
            "open_to": ["everyone inside"],
            "leads_to": ["database:{database}"],
            "speaks": "PostgreSQL with a password for each role",
            "why": "in this arm databases listen on the network",
        }
    )
