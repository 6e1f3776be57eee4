"""As much of an API server as lists and watches ConfigMaps: Kubernetes API concepts,
"Efficient detection of changes".
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

NAMESPACE = "paymesh-platform"
NAME = "paymesh-policy"
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


class FakeApi:
    """A server on loopback; tests change the one ConfigMap and break the connections."""

    def __init__(self, port: int = 0) -> None:
        self.changed = threading.Condition()
        self.version = 10
        self.item: dict[str, Any] | None = None
        self.events: list[tuple[int, str]] = []
        # Answered to every request while it is set.
        self.status: int | None = None
        # A watch of an earlier generation is cut off.
        self.generation = 0
        self.queries: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", port), type("Handler", (_Handler,), {"api": self})
        )
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def put(self, binary_data: Any, *, revision: str | None = None, name: str = NAME) -> None:
        """Creates or replaces the ConfigMap."""
        annotations = {"paymesh.internal/revision": revision} if revision else {}
        metadata = {"name": name, "namespace": NAMESPACE, "annotations": annotations}
        with self.changed:
            kind = "MODIFIED" if self.item else "ADDED"
            self._happen(kind, {"metadata": metadata, "binaryData": binary_data})

    def delete(self) -> None:
        """Deletes the ConfigMap."""
        with self.changed:
            assert self.item is not None
            self._happen("DELETED", self.item)
            self.item = None

    def say(self, line: str) -> None:
        """Sends this line to those who watch."""
        with self.changed:
            self.version += 1
            self.events.append((self.version, line))
            self.changed.notify_all()

    def cut(self) -> None:
        """Ends all watches in the middle."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def watches(self) -> int:
        """How many watches were asked for so far."""
        return sum("watch" in query for query in self.queries)

    def close(self) -> None:
        """Ends the server and its connections."""
        self.cut()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def kubeconfig(self, directory: Path) -> Path:
        """A file that leads here."""
        path = directory / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                    "clusters": [
                        {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
                    ],
                    "users": [{"name": "fake", "user": {"token": "a-token"}}],
                }
            )
        )
        return path

    def _happen(self, kind: str, item: dict[str, Any]) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.item = {"apiVersion": "v1", "kind": "ConfigMap", **item}
        self.events.append((self.version, json.dumps({"type": kind, "object": self.item})))
        self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    api: FakeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        with self.api.changed:
            self.api.queries.append(query)
            # Of this moment: a test that has seen the query may cut at once.
            generation = self.api.generation
            status = 404 if url.path != PATH else self.api.status or 200
        if status != 200:
            self._answer(status, {"kind": "Status", "code": status, "message": "no"})
        elif "watch" in query:
            self._watch(int(query["resourceVersion"]), generation)
        else:
            with self.api.changed:
                items = [self.api.item] if self.api.item else []
                version = str(self.api.version)
            self._answer(
                200,
                {
                    "kind": "ConfigMapList",
                    "apiVersion": "v1",
                    "metadata": {"resourceVersion": version},
                    "items": items,
                },
            )

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, after: int, generation: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            with self.api.changed:
                while self.api.version <= after and self.api.generation == generation:
                    self.api.changed.wait(timeout=1)
                lines = [line for version, line in self.api.events if version > after]
                after = self.api.version
                is_cut = self.api.generation != generation
            for line in lines:
                data = line.encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if is_cut:
                # Without the last chunk: as when a network breaks.
                self.close_connection = True
                return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""
