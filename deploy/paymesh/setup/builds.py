"""Builds SPIRE, the policy decision point and kustomize from pinned Go modules, once for each
version.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from paymesh import binaries
from paymesh.errors import SetupError
from paymesh.mesh import repository_root
from paymesh.paths import Paths
from paymesh.setup.toolchain import go_binary

# What a build has done so far: (packages compiled, packages in all).
Progress = Callable[[int, int], None]

_BUILD_TIMEOUT_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class Build:
    """One `go build`: a module directory and the packages in it that are programs."""

    title: str
    module: str
    programs: dict[str, str]


SPIRE = Build(
    title="SPIRE server and agent",
    module="spire",
    programs={
        "spire-server": "github.com/spiffe/spire/cmd/spire-server",
        "spire-agent": "github.com/spiffe/spire/cmd/spire-agent",
    },
)
PDP = Build(title="policy decision point", module="policies/pdp", programs={binaries.PDP: "."})
# What a mesh on one machine needs.
BUILDS = (PDP, SPIRE)
# Only where neither kubectl nor kustomize is on PATH.
KUSTOMIZE = Build(
    title="kustomize",
    module="deploy/kustomize",
    programs={binaries.KUSTOMIZE: "sigs.k8s.io/kustomize/kustomize/v5"},
)


def is_built(paths: Paths, build: Build) -> bool:
    """Whether every program of it is there at this version."""
    return all(
        os.access(binaries.build_directory(paths, name) / name, os.X_OK) for name in build.programs
    )


def run(paths: Paths, build: Build, progress: Progress) -> None:
    """Builds what is missing; a second call at the same version does nothing.

    Two builds at once of the same thing wait for each other. A build that is
    interrupted leaves nothing that looks finished.

    Raises:
        SetupError: Go refused; the text is Go's last lines.
    """
    bin_directory = paths.cache / "bin"
    bin_directory.mkdir(parents=True, exist_ok=True)
    with (bin_directory / f".{Path(build.module).name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_built(paths, build):
            return
        target = binaries.build_directory(paths, next(iter(build.programs)))
        with tempfile.TemporaryDirectory(dir=bin_directory, prefix=".building-") as scratch:
            _go_build(paths, build, Path(scratch), progress)
            # Workloads run these under uids of their own.
            for name in build.programs:
                (Path(scratch) / name).chmod(0o755)
            target.mkdir(mode=0o755, exist_ok=True)
            target.chmod(0o755)
            for name in build.programs:
                (Path(scratch) / name).replace(target / name)


def _go_build(paths: Paths, build: Build, out: Path, progress: Progress) -> None:
    go = str(go_binary(paths))
    module = repository_root() / build.module
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    packages = list(build.programs.values())
    total = _count(go, module, environment, packages)
    process = subprocess.Popen(
        [go, "build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", f"{out}/", *packages],
        cwd=module,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    last_lines: list[str] = []
    done = 0
    deadline = time.monotonic() + _BUILD_TIMEOUT_SECONDS
    try:
        for line in process.stderr or ():
            last_lines = [*last_lines[-20:], line.rstrip()]
            if not line.startswith(("go: ", "#")):
                done = min(done + 1, total)
                progress(done, total)
            if time.monotonic() > deadline:
                raise SetupError(f"building the {build.title} took over an hour: try again")
        status = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if status != 0:
        raise SetupError(f"the {build.title} could not be built:\n" + "\n".join(last_lines))
    if list(build.programs) == [binaries.PDP] and not (out / binaries.PDP).exists():
        # `go build .` names the program after the module's last element.
        shutil.move(str(out / module.name), str(out / binaries.PDP))
    progress(total, total)


def _count(go: str, module: Path, environment: dict[str, str], packages: list[str]) -> int:
    listed = subprocess.run(
        [go, "list", "-deps", *packages],
        cwd=module,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_BUILD_TIMEOUT_SECONDS,
    )
    if listed.returncode != 0:
        raise SetupError(
            f"the Go modules of {module.name} could not be had:"
            f" {listed.stderr.strip()[-400:]} (is the module proxy reachable?)"
        )
    return max(1, len(listed.stdout.splitlines()))
