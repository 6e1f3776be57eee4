"""The connection to a cluster, against a server that speaks as an API server does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
import yaml
from kube_fakes import made

from paymesh.errors import ConfigError
from paymesh.kube.client import Cluster
from paymesh.kube.contexts import connect
from paymesh.kube.errors import Conflict, Forbidden, Invalid, NotFound, Unreachable
from paymesh.kube.objects import Key

_APPS = {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True}]}
_CORE = {
    "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/log", "kind": "Pod", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
    ]
}
_PLAIN: dict[str, Any] = {
    "/version": {"major": "1", "minor": "34+"},
    "/apis/apps/v1": _APPS,
    "/api/v1": _CORE,
}


class _Server(ThreadingHTTPServer):
    """Answers by method and path; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {
            ("GET", path): (200, body) for path, body in _PLAIN.items()
        }
        self.seen: list[tuple[str, str, dict[str, list[str]], str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self) -> None:
        url = urlparse(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        content = self.headers.get("Content-Type", "")
        self.server.seen.append((self.command, url.path, parse_qs(url.query), content, body))
        found = self.server.answers.get((self.command, url.path), (404, _status("nothing there")))
        status, value = found(parse_qs(url.query)) if callable(found) else found
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Silent."""


def _status(message: str, *causes: str) -> dict[str, Any]:
    details = {"causes": [{"message": cause} for cause in causes]}
    return {"kind": "Status", "message": message, "details": details}


@pytest.fixture
def server() -> Iterator[_Server]:
    """One that knows Deployments, Pods and Namespaces."""
    found = _Server()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def kubeconfig(tmp_path: Path, server: _Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With two contexts, the first of them current."""
    where = {"server": f"http://127.0.0.1:{server.server_port}"}
    path = tmp_path / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": where}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")
        ],
    }
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))
    # The package reads the variable at import.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    return path


@pytest.fixture
def cluster(kubeconfig: Path) -> Cluster:
    """Connected to the current context."""
    assert kubeconfig.is_file()
    return connect()


def test_the_current_context_is_taken_unless_one_is_named(kubeconfig: Path) -> None:
    """As kubectl does."""
    assert kubeconfig.is_file()
    assert connect().context == "one"
    assert connect("two").context == "two"
    assert connect().version() == (1, 34)


def test_a_wrong_context_lists_those_there_are(kubeconfig: Path) -> None:
    """So that the right one can be typed next."""
    with pytest.raises(ConfigError, match=rf"'three' in {kubeconfig}, which has one, two"):
        connect("three")


def test_a_server_that_does_not_answer_is_said_to(kubeconfig: Path, server: _Server) -> None:
    """One sentence with the address and the context, and no traceback of a library."""
    text = kubeconfig.read_text().replace(str(server.server_port), "1")
    kubeconfig.write_text(text)
    with pytest.raises(Unreachable, match=r"^http://127.0.0.1:1 does not answer .*'one' up\?$"):
        connect()


def test_apply_is_server_side_and_ours(cluster: Cluster, server: _Server) -> None:
    """The content type, the manager and no force are what makes it safe."""
    path = "/apis/apps/v1/namespaces/paymesh/deployments/ledger"
    value = made("Deployment", "ledger")
    server.answers["PATCH", path] = (200, value)
    cluster.apply(value)
    method, asked, query, content, body = server.seen[-1]
    assert (method, asked, content) == ("PATCH", path, "application/apply-patch+yaml")
    assert query == {"fieldManager": ["paymesh"], "force": ["false"]}
    assert body == value


def test_dry_run_is_asked_for(cluster: Cluster, server: _Server) -> None:
    """Checks try things that must not happen."""
    path = "/api/v1/namespaces/paymesh/pods"
    server.answers["POST", path] = (201, made("Pod", "x"))
    cluster.create(made("Pod", "x"), dry_run=True)
    assert server.seen[-1][2]["dryRun"] == ["All"]
    cluster.create(made("Pod", "x"))
    assert "dryRun" not in server.seen[-1][2]


def test_long_lists_come_whole(cluster: Cluster, server: _Server) -> None:
    """Page after page, each item with its kind."""
    pages = {
        "": {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]},
        "more": {"metadata": {}, "items": [{"metadata": {"name": "b"}}]},
    }

    def page(query: dict[str, list[str]]) -> tuple[int, Any]:
        return 200, pages[query.get("continue", [""])[0]]

    server.answers["GET", "/api/v1/namespaces/paymesh/pods"] = page  # type: ignore[assignment]
    found = cluster.items("v1", "Pod", "paymesh", labels="a=b")
    assert [(pod["kind"], pod["metadata"]["name"]) for pod in found] == [("Pod", "a"), ("Pod", "b")]
    assert server.seen[-1][2]["labelSelector"] == ["a=b"]


def test_a_kind_that_the_cluster_does_not_know_has_no_objects(cluster: Cluster) -> None:
    """A cluster without SPIRE's definitions has none of its objects; one cannot be got."""
    assert cluster.items("spire.spiffe.io/v1alpha1", "ClusterSPIFFEID") == []
    with pytest.raises(NotFound):
        cluster.get(Key("spire.spiffe.io/v1alpha1", "ClusterSPIFFEID", "", "x"))
    assert cluster.find(Key("v1", "Pod", "paymesh", "x")) is None


@pytest.mark.parametrize(
    ("status", "message", "kind", "words"),
    [
        (401, "Unauthorized", Forbidden, "no longer valid"),
        (
            403,
            'pods is forbidden: User "u" cannot list resource "pods"',
            Forbidden,
            "may not get Pod",
        ),
        (403, "pods x is forbidden: ValidatingAdmissionPolicy denied", Invalid, "denied"),
        (409, "the object has been modified", Conflict, "modified"),
        (422, "spec.containers: Required value", Invalid, "Required value"),
        (503, "not ready", Unreachable, "too busy"),
    ],
)
def test_each_refusal_is_a_sentence(
    cluster: Cluster, server: _Server, *, status: int, message: str, kind: type, words: str
) -> None:
    """Who may not, what was refused and what to do are different errors."""
    path = "/api/v1/namespaces/paymesh/pods/x"
    server.answers["GET", path] = (status, _status(message))
    with pytest.raises(kind, match=words):
        cluster.get(Key("v1", "Pod", "paymesh", "x"))


def test_a_conflict_keeps_its_causes(cluster: Cluster, server: _Server) -> None:
    """They say whose fields they are."""
    path = "/apis/apps/v1/namespaces/paymesh/deployments/ledger"
    cause = 'conflict with "kubectl" using apps/v1: .spec.replicas'
    server.answers["PATCH", path] = (409, _status("Apply failed with 1 conflict", cause))
    with pytest.raises(Conflict) as raised:
        cluster.apply(made("Deployment", "ledger"))
    assert raised.value.causes == (cause,)


def test_deleting_what_is_gone_is_no_error(cluster: Cluster, server: _Server) -> None:
    """The answer says whether there was anything."""
    path = "/api/v1/namespaces/x"
    server.answers["DELETE", path] = (200, made("Namespace", "x", ""))
    assert cluster.delete(Key("v1", "Namespace", "", "x"))
    assert server.seen[-1][4] == {"propagationPolicy": "Background"}
    assert not cluster.delete(Key("v1", "Namespace", "", "y"))
