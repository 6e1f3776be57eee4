"""Container engines by their command lines; no daemon's API, so that any of three will do."""

from __future__ import annotations

import collections
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paymesh.errors import SetupError

# Preferred first: what most machines have.
ENGINES = ("docker", "podman", "buildah")
# How each shows that it works; docker's client alone is not an engine.
_PROBES = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("info", "--format", "{{.Version.Version}}"),
    "buildah": ("info",),
}
_PROBE_SECONDS = 30
MISSING = "it is missing"
_LAST_LINES = 30
# docker hands these to the steps of a build and keeps them out of the image's history ("Predefined
# ARGs", Dockerfile reference); the other engines pass them on by themselves.
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Engine:
    """A container engine that works: `name` is one of ENGINES."""

    name: str
    program: Path

    def build(
        self,
        tag: str,
        dockerfile: Path,
        context: Path,
        report: Report,
        *,
        target: str | None = None,
        arguments: Mapping[str, str] | None = None,
        host_network: bool = False,
    ) -> None:
        """Builds one image.

        Args:
            tag: the image's name and tag.
            dockerfile: below `context`.
            context: the only directory that the build sees.
            report: gets each line that the engine writes.
            target: the Dockerfile's stage; its last one when left out.
            arguments: build arguments.
            host_network: for a package index or proxy on this machine's loopback.

        Raises:
            SetupError: the engine refused; has its last lines.
        """
        command = [str(self.program), "build", "--tag", tag, "--file", str(dockerfile)]
        if self.name != "docker":
            # Both forget the steps in between otherwise, and pip's is minutes.
            command.append("--layers")
        if target:
            command += ["--target", target]
        for name, value in (arguments or {}).items():
            command += ["--build-arg", f"{name}={value}"]
        if self.name == "docker":
            for name in _PROXY_VARIABLES:
                for variable in (name, name.lower()):
                    # Without a value: the engine takes it from its environment.
                    command += ["--build-arg", variable] if os.environ.get(variable) else []
        if host_network:
            command += ["--network", "host"]
        _run([*command, str(context)], f"{tag} could not be built", report)

    def save(self, tag: str, file: Path, report: Report) -> None:
        """Writes an image as a docker archive, whole or not at all.

        Raises:
            SetupError: the engine refused; has its last lines.
        """
        fresh = file.with_name(f".{file.name}.fresh")
        fresh.unlink(missing_ok=True)
        command = {
            "docker": ["save", "--output", str(fresh), tag],
            "podman": ["save", "--format", "docker-archive", "--output", str(fresh), tag],
            "buildah": ["push", "--quiet", tag, f"docker-archive:{fresh}:{tag}"],
        }[self.name]
        try:
            _run([str(self.program), *command], f"{tag} could not be saved", report)
            fresh.chmod(0o644)
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)


def find_engine(name: str | None = None) -> Engine:
    """The engine of this name, or else the first of ENGINES that works.

    Raises:
        SetupError: there is none, with what to install; or the one asked for does not work.
    """
    found = []
    for candidate in (name,) if name else ENGINES:
        complaint = why_not(candidate)
        if complaint is None:
            return Engine(candidate, Path(shutil.which(candidate) or candidate))
        if complaint != MISSING:
            found.append(f"{candidate}: {complaint}")
    if found:
        raise SetupError(
            f"no container engine works ({'; '.join(found)}):"
            " start it, or install another (on Debian: apt-get install buildah)"
        )
    raise SetupError(
        f"{name or 'a container engine'} is missing: install docker, podman or buildah"
        " (on Debian: apt-get install buildah)"
    )


def why_not(name: str) -> str | None:
    """Why one of ENGINES does not work; None when it does, MISSING when it is not on PATH."""
    program = shutil.which(name)
    if not program:
        return MISSING
    try:
        done = subprocess.run(
            [program, *_PROBES[name]],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def _run(command: Sequence[str], complaint: str, report: Report) -> None:
    last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                for line in process.stdout or ():
                    last.append(line.rstrip())
                    report(line.rstrip())
            except BaseException:
                process.terminate()
                raise
    except OSError as error:
        raise SetupError(f"{complaint}: {error}") from error
    if process.returncode != 0:
        raise SetupError(f"{complaint}:\n" + "\n".join(last))
