"""A running policy decision point."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_START_SECONDS = 20.0


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """SubjectPublicKeyInfo as PEM, as OPA's configuration wants it."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode("ascii")
    )


HEALTH = "/grpc.health.v1.Health/Check"


def document(caller: str, rpc: str) -> dict[str, Any]:
    """The input of a call without a user."""
    return {
        "attributes": {
            "source": {"principal": f"spiffe://paymesh.internal/ns/paymesh/sa/{caller}"},
            "request": {
                "http": {
                    "method": "POST",
                    "path": rpc,
                    "headers": {"content-type": "application/grpc"},
                }
            },
        },
        "parsed_body": {},
    }


GRANTED = document("gateway", HEALTH)
UNGRANTED = document("payments", HEALTH)


class Pdp:
    """A running decision point and its REST API."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.log = log

    def ask(self, path: str, question: Any = None, token: str = "") -> tuple[int, Any]:
        """HTTP status and parsed answer; POST when there is a question."""
        body = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(self.url + path, data=body)  # noqa: S310 — our own http
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def reason(self, document: Any) -> str | None:
        """The reason code of an RPC's decision; None while no policy is loaded."""
        _, answer = self.ask("/v1/data/paymesh/authz/decision", {"input": document})
        result = answer.get("result")
        return result["reason"] if result else None

    def wait_for(self, document: Any, reason: str | None, seconds: float) -> float:
        """Seconds until the decision has this reason.

        Raises:
            AssertionError: it has not within `seconds`.
        """
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                if self.reason(document) == reason:
                    return time.monotonic() - start
            time.sleep(0.01)
        raise AssertionError(f"no {reason} within {seconds} s: {self.log.read_text()[-2000:]}")

    def wait_for_log(self, text: str, seconds: float, *, count: int = 1) -> None:
        """Waits until the log has `text` at least `count` times.

        Raises:
            AssertionError: it has not within `seconds`.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.log.read_text().count(text) >= count:
                return
            time.sleep(0.02)
        raise AssertionError(f"no {text!r} in the log: {self.log.read_text()[-2000:]}")


StartPdp = Callable[..., Pdp]


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    program: Path,
    directory: Path,
    port: int,
    config: Mapping[str, Any],
    *flags: str,
    variables: Mapping[str, str] | None = None,
) -> tuple[Pdp, subprocess.Popen[bytes]]:
    """Starts the program on a loopback port and waits until it answers, policy or not."""
    path, log = directory / "pdp.json", directory / "pdp.log"
    path.write_text(json.dumps(config))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                *("run", "--server", "--addr", f"127.0.0.1:{port}"),
                *("--config-file", path, "--disable-telemetry"),
                *flags,
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, **(variables or {})},
        )
    running = Pdp(f"http://127.0.0.1:{port}", log)
    try:
        _wait_for_server(running, process)
    except BaseException:
        stop(process)
        raise
    return running, process


def _wait_for_server(running: Pdp, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, running.log.read_text()
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            running.ask("/health")
            return
        time.sleep(0.02)
    raise AssertionError(f"the decision point did not answer: {running.log.read_text()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that was started here, kindly at first."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
