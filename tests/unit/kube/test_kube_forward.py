"""A port of ready pods as a loopback port."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from kube_fakes import FakeCluster, made

from paymesh.kube import forward
from paymesh.kube.errors import ClusterError, Unreachable

_LABELS = {"app.kubernetes.io/name": "gateway"}


def _pod(name: str, *, ready: bool) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return made("Pod", name, metadata={"labels": _LABELS}, status={"conditions": conditions})


def _said(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"ping\n")
        return connection.recv(64)


def test_every_connection_goes_to_a_pod_that_is_ready_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who reconnects outlives a pod; where none can be reached the connection is closed."""
    cluster: Any = FakeCluster(_pod("old", ready=True), _pod("starting", ready=False))
    others = []

    def open_stream(_: object, namespace: str, pod: str, port: int) -> socket.socket:
        if pod == "gone":
            raise Unreachable("no stream")
        near, far = socket.socketpair()
        others.append(far)
        far.sendall(f"{namespace}/{pod}:{port}".encode())
        return near

    monkeypatch.setattr(forward, "open_stream", open_stream)
    with forward.to_workload(cluster, "paymesh", "gateway", 18443) as port:
        assert _said(port) == b"paymesh/old:18443"
        cluster.objects.clear()
        cluster.create(_pod("new", ready=True))
        assert _said(port) == b"paymesh/new:18443"
        cluster.objects.clear()
        cluster.create(_pod("gone", ready=True))
        assert _said(port) == b""
        assert [far.recv(64) for far in others] == [b"ping\n", b"ping\n"]
    for far in others:
        far.close()


def test_without_a_ready_pod_nothing_listens() -> None:
    """It is said at once, not by a connection that is closed."""
    cluster: Any = FakeCluster(_pod("starting", ready=False))
    with (
        pytest.raises(ClusterError, match="none of the 1 pods of paymesh/gateway is ready"),
        forward.to_workload(cluster, "paymesh", "gateway", 1),
    ):
        pass
