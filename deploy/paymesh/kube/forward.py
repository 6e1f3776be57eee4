"""A port of a ready pod as a loopback port of this machine, through the API server.

Every connection is a stream of its own to a pod that is ready at that moment, so
that a client which reconnects, as gRPC does, outlives the pod.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes import client
from kubernetes.stream import portforward

from paymesh.kube import refusals, stuck
from paymesh.kube.client import Cluster
from paymesh.kube.errors import ClusterError, Unreachable
from paymesh.kube.objects import NAME

_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 1 << 16
_BACKLOG = 16
_ACCEPT_SECONDS = 0.2
_JOIN_SECONDS = 5.0


def ready_pods(cluster: Cluster, namespace: str, name: str) -> list[str]:
    """Names of a workload's ready pods.

    Raises:
        ClusterError: there is none.
    """
    pods = cluster.items("v1", "Pod", namespace, labels=f"{NAME}={name}")
    ready = [pod["metadata"]["name"] for pod in pods if stuck.is_ready(pod)]
    if not ready:
        raise ClusterError(
            f"none of the {len(pods)} pods of {namespace}/{name} is ready: run"
            " `paymesh check --kube`"
        )
    return sorted(ready)


@contextlib.contextmanager
def to_workload(cluster: Cluster, namespace: str, name: str, port: int) -> Iterator[int]:
    """A loopback port that leads to any ready pod of a workload.

    Yields:
        Its number.

    Raises:
        ClusterError: no pod is ready.
    """
    ready_pods(cluster, namespace, name)

    def connect() -> socket.socket:
        pod = random.choice(ready_pods(cluster, namespace, name))  # noqa: S311 — balancing
        return open_stream(cluster, namespace, pod, port)

    with _listening(connect) as local:
        yield local


@contextlib.contextmanager
def _listening(connect: Callable[[], socket.socket]) -> Iterator[int]:
    with socket.create_server((_LOOPBACK, 0), backlog=_BACKLOG) as listener:
        listener.settimeout(_ACCEPT_SECONDS)
        stopped = threading.Event()
        connections: list[_Connection] = []

        def accept() -> None:
            while not stopped.is_set():
                try:
                    local, _ = listener.accept()
                except TimeoutError:
                    continue
                except OSError:
                    return
                connection = _Connection(local, connect)
                connections.append(connection)
                connection.start()

        thread = threading.Thread(target=accept, name="paymesh-forward", daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            stopped.set()
            thread.join(_JOIN_SECONDS)
            for connection in connections:
                connection.close()
            for connection in connections:
                connection.join()


def open_stream(cluster: Cluster, namespace: str, pod: str, port: int) -> socket.socket:
    """One connection to a pod's port; close it to end the stream.

    Raises:
        Unreachable: the API server or the node refuses.
    """
    api = cluster.core()
    try:
        forwarded: Any = portforward(
            api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port)
        )
    except (client.ApiException, OSError) as error:
        raise Unreachable(
            f"{namespace}/{pod} port {port} cannot be reached: {refusals.of_stream(error)}"
        ) from error
    # Behind a wrapper of the package's that only hides what a Unix socket does not know.
    found: socket.socket = forwarded.socket(port)._socket  # noqa: SLF001
    found.setblocking(True)  # noqa: FBT003
    return found


class _Connection:
    """Two threads that carry bytes between a local connection and a stream."""

    def __init__(self, local: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self._local = local
        self._remote: socket.socket | None = None
        self._connect = connect
        self._lock = threading.Lock()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Connects and carries, in the background."""
        self._run(self._open)

    def _open(self) -> None:
        try:
            remote = self._connect()
        except ClusterError:
            # The client sees a connection that was closed, and tries again.
            self.close()
            return
        with self._lock:
            self._remote = remote
            if self._closed:
                remote.close()
                return
        self._run(lambda: self._carry(remote, self._local))
        self._carry(self._local, remote)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                target.sendall(data)
        self.close()

    def close(self) -> None:
        """Ends both sides."""
        with self._lock:
            self._closed = True
            for end in (self._local, self._remote):
                if end is not None:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()

    def join(self) -> None:
        """Until both threads have ended."""
        for thread in list(self._threads):
            thread.join(_JOIN_SECONDS)

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="paymesh-forward", daemon=True)
        self._threads.append(thread)
        thread.start()
