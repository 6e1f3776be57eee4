"""The real programs around a site: publisher, bundle server, one decision point a service."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paymesh.errors import ConfigError, StartError
from paymesh.mesh import Workload, repository_root
from paymesh.policy.bench.site import Site
from paymesh.render import pdp as render
from paymesh.render.blocks import AUTHZ_SOCKET
from paymesh.runtime import launch
from paymesh.runtime.files import write_file

# As the supervisor has it.
_PDP_ENVIRONMENT = {"GOMEMLIMIT": "64MiB", "GOMAXPROCS": "2"}
_ADDRESS = "127.0.0.1"
_START_SECONDS = 30.0
# sockaddr_un.sun_path holds 108 bytes with the final NUL (unix(7)).
_SUN_PATH_BYTES = 107
_STOP_SECONDS = 5.0
_STEP_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Point:
    """A running decision point."""

    name: str
    directory: Path
    pid: int

    @property
    def target(self) -> str:
        """Where Envoy would ask it, for gRPC."""
        return f"unix:{self.directory / AUTHZ_SOCKET}"


@contextlib.contextmanager
def running(site: Site, count: int | None = None) -> Iterator[list[Point]]:
    """Starts bundle server and decision points; they have ended when this returns.

    Args:
        site: whose policy has been published at least once.
        count: of the mesh's services, the first; all when left out.

    Raises:
        StartError: one of them did not come up; says what it wrote last.
        ConfigError: the site's directory has too long a name.
    """
    token = secrets.token_urlsafe()
    port = _free_port()
    with contextlib.ExitStack() as stack:
        server = _start_server(site, port, token)
        stack.callback(_end, server)
        points = []
        for workload in site.mesh.services()[:count]:
            directory = _prepare(site, workload, port, token)
            process = _spawn(
                [
                    site.pdp,
                    *("run", "--server", "--addr", f"{_ADDRESS}:{_free_port()}"),
                    *("--config-file", "pdp.yaml", "--log-level", "info", "--disable-telemetry"),
                    *("--authentication=token", "--authorization=basic"),
                ],
                directory,
            )
            stack.callback(_end, process)
            points.append(Point(workload.name, directory, process.pid))
        for point in points:
            _wait(point)
        yield points


@contextlib.contextmanager
def publishing(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """Follows edits of the site's checkout in a process of its own, as the supervisor does."""
    process = _spawn(
        [sys.executable, "-m", "paymesh.policy.bench.publishing", site.directory], site.directory
    )
    try:
        yield process
    finally:
        _end(process)


def _start_server(site: Site, port: int, token: str) -> subprocess.Popen[bytes]:
    tokens = site.directory / "tokens"
    write_file(tokens, hashlib.sha256(token.encode()).hexdigest() + " all\n", 0o600)
    argv: list[str | Path] = [
        *(sys.executable, "-m", "paymesh.policy.server", "--directory", site.bundles),
        *("--address", _ADDRESS, "--port", str(port), "--tokens", tokens),
    ]
    return _spawn(argv, site.directory)


def _prepare(site: Site, workload: Workload, port: int, token: str) -> Path:
    directory = site.directory / workload.name
    if len(os.fsencode(directory / AUTHZ_SOCKET)) > _SUN_PATH_BYTES:
        raise ConfigError(
            f"{directory} is too long for a Unix socket: set TMPDIR to a shorter path"
        )
    directory.mkdir()
    around = render.Surroundings(
        bundle_server=f"http://{_ADDRESS}:{port}",
        bundle_key=site.public_key,
        descriptors=str(site.descriptors),
    )
    config = render.configuration(site.mesh, workload, around)
    write_file(directory / around.bundle_token, token, 0o600)
    write_file(directory / "pdp.yaml", json.dumps(config), 0o600)
    return directory


def _spawn(argv: Sequence[str | Path], directory: Path) -> subprocess.Popen[bytes]:
    """Ends with this process, whatever becomes of it; what it writes is in `output`."""
    environment = {
        "PYTHONPATH": str(repository_root() / "deploy"),
        "PAYMESH_ROOT": str(repository_root()),
        **_PDP_ENVIRONMENT,
        **{name: os.environ[name] for name in ("PAYMESH_CACHE",) if name in os.environ},
    }
    with (directory / "output").open("ab") as output:
        return subprocess.Popen(
            launch.command(argv, None, death_signal="KILL"),
            cwd=directory,
            env=launch.minimal_environment(Path.home(), environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(point: Point) -> None:
    """Until it has a policy and would answer Envoy."""
    end = time.monotonic() + _START_SECONDS
    while True:
        with grpc.insecure_channel(point.target) as channel, contextlib.suppress(grpc.RpcError):
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=1
            )
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
        if time.monotonic() > end:
            said = (point.directory / "output").read_text(errors="replace")[-500:]
            raise StartError(f"{point.name}'s decision point did not come up: {said}")
        time.sleep(_STEP_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_ADDRESS, 0))
        return int(probe.getsockname()[1])
