"""A short program in a container that is there anyway, and HTTP over a Unix socket by one."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

from kubernetes import client
from kubernetes.stream import stream

from paymesh.kube import refusals
from paymesh.kube.client import Cluster
from paymesh.kube.errors import ClusterError, Unreachable

_TIMEOUT_SECONDS = 20
_STDOUT, _STDERR = 1, 2

# Arguments: path of the socket, target. Prints status and body as JSON.
_UNIX_GET = """
import http.client, json, socket, sys
class C(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(sys.argv[1])
c = C("localhost", timeout=5)
c.request("GET", sys.argv[2])
r = c.getresponse()
print(json.dumps([r.status, r.read(8388608).decode(errors="replace")]))
"""


@dataclasses.dataclass(frozen=True)
class Done:
    """How a program in a pod ended."""

    code: int
    output: str
    errors: str


class Container(NamedTuple):
    """A container of a pod."""

    namespace: str
    pod: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}, container {self.name}"


def run(cluster: Cluster, where: Container, command: list[str], *, stdin: str = "") -> Done:
    """Runs a program in a container and waits for its end.

    Args:
        cluster: of the pod.
        where: the container.
        command: program and arguments; no secret has a place among them.
        stdin: what the program reads; it has to know where that ends.

    Raises:
        Unreachable: it could not be started.
        ClusterError: it did not end in time.
    """
    api = cluster.core()
    try:
        opened: Any = stream(
            api.connect_get_namespaced_pod_exec,
            where.pod,
            where.namespace,
            container=where.name,
            command=command,
            stdin=bool(stdin),
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
    except (client.ApiException, OSError) as error:
        raise Unreachable(f"nothing can be run in {where}: {refusals.of_stream(error)}") from error
    try:
        if stdin:
            opened.write_stdin(stdin)
        opened.run_forever(timeout=_TIMEOUT_SECONDS)
        if opened.is_open():
            raise ClusterError(f"{command[0]} in {where} did not end in {_TIMEOUT_SECONDS} s")
        output, errors = opened.read_channel(_STDOUT), opened.read_channel(_STDERR)
        return Done(_exit_code(opened, where), output, errors)
    finally:
        opened.close()


def _exit_code(opened: Any, where: Container) -> int:
    """The package takes any other failure's message for a number."""
    try:
        return int(opened.returncode or 0)
    except (ValueError, KeyError, TypeError) as error:
        said = str(error).rpartition(": ")[2]
        raise Unreachable(f"nothing can be run in {where}: {said}") from error


def python(cluster: Cluster, where: Container, program: str, *arguments: str) -> str:
    """Standard output of a Python program in a container of one of our own images.

    Raises:
        ClusterError: it failed; the last line that it said.
    """
    done = run(cluster, where, ["python", "-c", program, *arguments])
    if done.code != 0:
        last = done.errors.strip().splitlines()[-1:] or [f"exit code {done.code}"]
        raise ClusterError(f"{where}: {last[0]}")
    return done.output


def unix_get(cluster: Cluster, where: Container, socket_path: str, target: str) -> tuple[int, str]:
    """Status and body of `GET target` on a Unix socket that the container can open.

    Raises:
        ClusterError: nobody answers there.
    """
    status, body = json.loads(python(cluster, where, _UNIX_GET, socket_path, target))
    return int(status), str(body)
