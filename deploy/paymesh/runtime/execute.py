"""Running something as a workload: in its directory, under its uid, with its interpreter."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import launch, programs
from paymesh.runtime.accounts import load_accounts


def exec_as(
    paths: Paths,
    mesh: Mesh,
    workload: str,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_seconds: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Runs the workload's Python interpreter to its end and captures what it writes.

    Args:
        paths: of a mesh that was up at least once.
        mesh: names the workloads.
        workload: whose uid, groups, directory and, without root, interpreter it gets.
        arguments: of the interpreter, such as `["-m", "statements"]`.
        env: added to a minimal environment.
        stdin: text for its standard input; nothing when left out.
        timeout_seconds: after which it is killed.

    Raises:
        ConfigError: there is no such workload, or the mesh was never up.
        subprocess.TimeoutExpired: it took too long.
    """
    if workload not in mesh.workloads:
        raise ConfigError(f"there is no workload {workload!r}; see deploy/mesh.yaml")
    directory = paths.workload(workload)
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not there: run `paymesh up` first")
    accounts = load_accounts(mesh)
    python = programs.load_python(paths, separate_uids=accounts.separate)
    executable = python.executable
    if not accounts.separate:
        executable = paths.launch / workload / "bin" / "python"
    return subprocess.run(
        launch.command([executable, *arguments], accounts.of(workload), death_signal="KILL"),
        cwd=directory,
        env=launch.minimal_environment(directory, {**python.environment(), **(env or {})}),
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
        umask=0o077,
    )
