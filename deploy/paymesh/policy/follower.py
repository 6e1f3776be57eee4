"""Keeps a file equal to one key of one ConfigMap: how a published bundle reaches its server.

    python -m paymesh.policy.follower --namespace N --configmap NAME --key KEY --directory D

Beside the bundle server in a cluster: this process has the service-account token and no port,
the server has the port and no token. What is written is not looked into: a bundle is worth
what its signature is worth, and that only policy decision points check.

While the API server is away, the ConfigMap is gone or its content is no use, the last file
stays. SIGTERM and SIGINT end it at once; nothing else does once it runs.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kubernetes import client, config, watch
from kubernetes.config.config_exception import ConfigException

# What a ConfigMap can hold at all ("ConfigMaps", kubernetes.io): the bundle has no more room.
MAX_BYTES = 1 << 20
REVISION = "paymesh.internal/revision"
# A watch that a broken network has cut is noticed when the server does not end it in time.
_WATCH_SECONDS = 30
_CONNECT_TIMEOUT_SECONDS = 5
_READ_TIMEOUT_SECONDS = _WATCH_SECONDS + 5
_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 4.0
# "ConfigMap v1 core", Kubernetes API: what a key may consist of; so it is a file's name as well.
_KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")

_log = logging.getLogger("follower")


class Follower:
    """One key of one ConfigMap, and the file that follows it."""

    def __init__(
        self, api: client.CoreV1Api, namespace: str, configmap: str, key: str, directory: Path
    ) -> None:
        if not _KEY.fullmatch(key) or key == ".":
            raise ValueError(f"{key} is no key of a ConfigMap")
        self._api = api
        self._name = configmap
        self._key = key
        self._path = directory / key
        self._query: dict[str, Any] = {
            "namespace": namespace,
            "field_selector": f"metadata.name={configmap}",
            "_request_timeout": (_CONNECT_TIMEOUT_SECONDS, _READ_TIMEOUT_SECONDS),
        }
        self._complaint = ""

    def follow(self, sleep: Callable[[float], None] = time.sleep) -> NoReturn:
        """Never returns: lists, watches, and after a failure waits and begins again.

        Args:
            sleep: takes seconds; for tests.
        """
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                self._once()
            except Exception as error:  # noqa: BLE001 - whatever it is, the last bundle is served
                self._complain(f"the API server: {_sentence(error)}: tries again")
                sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            else:
                wait_seconds = _FIRST_WAIT_SECONDS

    def _once(self) -> None:
        """The state now, then what changes for _WATCH_SECONDS.

        Raises:
            Exception: of the client's, its transport's or the file system's.
        """
        found = self._api.list_namespaced_config_map(**self._query)
        for item in found.items or ():
            self._take(item)
        if not found.items:
            self._complain(f"there is no ConfigMap {self._name}")
        events = watch.Watch().stream(
            self._api.list_namespaced_config_map,
            **self._query,
            resource_version=found.metadata.resource_version if found.metadata else None,
            timeout_seconds=_WATCH_SECONDS,
        )
        for event in events:
            if event["type"] in {"ADDED", "MODIFIED"}:
                self._take(event["object"])
            elif event["type"] == "DELETED":
                self._complain(f"ConfigMap {self._name} was deleted")

    def _take(self, item: client.V1ConfigMap) -> None:
        """Writes the content if it is new and of use."""
        # The field selector says so already; a proxy between might not know it.
        if item.metadata is None or item.metadata.name != self._name:
            return
        try:
            data = self._content(item)
        except ValueError as error:
            self._complain(f"ConfigMap {self._name}: {error}")
            return
        self._complaint = ""
        if self._is_written(data):
            return
        temporary = self._path.with_name(f".{self._path.name}.fresh")
        temporary.write_bytes(data)
        temporary.chmod(0o644)
        temporary.replace(self._path)
        revision = (item.metadata.annotations or {}).get(REVISION, "unknown")
        _log.info(
            "wrote %s: revision %s, %d bytes, sha256 %s",
            self._path,
            str(revision)[:64],
            len(data),
            hashlib.sha256(data).hexdigest(),
        )

    def _content(self, item: client.V1ConfigMap) -> bytes:
        """The key's bytes.

        Raises:
            ValueError: there are none, or more than MAX_BYTES; says which.
        """
        encoded = (item.binary_data or {}).get(self._key)
        if not isinstance(encoded, str) or not encoded:
            raise ValueError(f"no {self._key} in its binaryData")
        if len(encoded) > MAX_BYTES * 4 // 3 + 4:
            raise ValueError(f"{self._key} is larger than {MAX_BYTES} bytes")
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError(f"{self._key} is not Base64") from error
        if not 0 < len(data) <= MAX_BYTES:
            raise ValueError(f"{self._key} has {len(data)} bytes; 1 to {MAX_BYTES} are taken")
        return data

    def _is_written(self, data: bytes) -> bool:
        try:
            with self._path.open("rb") as file:
                return file.read(len(data) + 1) == data
        except FileNotFoundError:
            return False

    def _complain(self, text: str) -> None:
        """Once for each thing that is wrong, not once for each attempt."""
        if text != self._complaint:
            state = "stays" if self._path.exists() else "does not exist yet"
            _log.warning("%s; %s %s", text, self._path, state)
        self._complaint = text


def _sentence(error: Exception) -> str:
    """One line: an API error's own text has its headers and body in it."""
    if isinstance(error, client.ApiException):
        return f"{error.status} {error.reason}"
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def connect(kubeconfig: Path | None) -> client.CoreV1Api:
    """The API server that the file names, or that of the pod this is.

    Raises:
        ConfigException: there is no such file, or this is no pod.
    """
    settings = client.Configuration()
    if kubeconfig:
        config.load_kube_config(str(kubeconfig), client_configuration=settings)
    else:
        config.load_incluster_config(client_configuration=settings)
    # Attempts are counted and spaced in one place, `Follower.follow`.
    settings.retries = False
    return client.CoreV1Api(client.ApiClient(settings))


def _stop(*_: object) -> NoReturn:
    """Raised out of whatever waits: nothing is half done at any point."""
    sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM or SIGINT, 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="paymesh.policy.follower", description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--configmap", required=True)
    parser.add_argument("--key", required=True, help="of binaryData; also the file's name")
    parser.add_argument("--directory", type=Path, required=True, help="where the file goes")
    parser.add_argument("--kubeconfig", type=Path, help="outside a pod; the pod's own otherwise")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        if not os.access(parsed.directory, os.W_OK | os.X_OK):
            raise NotADirectoryError(f"{parsed.directory} is no directory that can be written to")
        follower = Follower(
            connect(parsed.kubeconfig),
            parsed.namespace,
            parsed.configmap,
            parsed.key,
            parsed.directory,
        )
    except (OSError, ValueError, ConfigException) as error:
        sys.stderr.write(f"follower: {error}\n")
        return 1
    _log.info("follows ConfigMap %s/%s", parsed.namespace, parsed.configmap)
    return follower.follow()


if __name__ == "__main__":
    sys.exit(main())
