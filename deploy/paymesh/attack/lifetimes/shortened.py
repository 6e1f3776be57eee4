"""One more Envoy before an app, whose connections end after seconds instead of minutes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paymesh.attack.lifetimes.place import Place
from paymesh.errors import StartError
from paymesh.mesh import read_yaml
from paymesh.runtime import launch, programs
from paymesh.runtime.accounts import load_accounts

_START_SECONDS = 10.0
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of a connection to a workload's listener: after how long it is asked to go, and how much
    longer it is served. Seconds.
    """

    asked_after_seconds: float
    served_on_seconds: float


def limits(place: Place, workload: str) -> Limits:
    """As the running Envoy has them.

    Raises:
        StartError: its file has no such limits.
    """
    manager = _manager(_inbound(_configuration(place, workload)))
    try:
        return Limits(
            _seconds(manager["common_http_protocol_options"]["max_connection_duration"]),
            _seconds(manager["drain_timeout"]),
        )
    except (KeyError, ValueError) as error:
        raise StartError(f"{workload}'s connections have no end: {error!r}") from error


@contextlib.contextmanager
def envoy(place: Place, workload: str, asked_after_seconds: int) -> Iterator[Path]:
    """The workload's inbound listener a second time, on a Unix socket that everybody may open.

    Everything else is as the mesh's own: its identity, decision point and app, and what else its
    file says. The socket is yielded.

    Raises:
        StartError: it did not start.
    """
    account = load_accounts(place.mesh).of(workload)
    directory = Path(tempfile.mkdtemp(prefix="pm-life-", dir="/tmp"))
    try:
        directory.chmod(0o755)
        if account is not None:
            os.chown(directory, account.uid, account.gid)
        socket = directory / "inbound.sock"
        file = directory / "envoy.json"
        file.write_text(json.dumps(_changed(place, workload, socket, asked_after_seconds)))
        file.chmod(0o644)
        program = programs.load_programs(place.paths, place.mesh, separate_uids=True).envoy
        process = subprocess.Popen(
            launch.command(
                [
                    *(program, "--config-path", str(file), "--concurrency", "1"),
                    *("--disable-hot-restart", "--log-level", "off"),
                ],
                account,
                death_signal="KILL",
            ),
            cwd=place.paths.workload(workload),
            env=launch.minimal_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(process, socket)
            yield socket
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartError("an Envoy with shorter connections did not start")
        time.sleep(0.02)


def _changed(place: Place, workload: str, socket: Path, asked_after_seconds: int) -> dict[str, Any]:
    configuration = _configuration(place, workload)
    inbound = _inbound(configuration)
    inbound["address"] = {"pipe": {"path": str(socket), "mode": 0o666}}
    options = _manager(inbound)["common_http_protocol_options"]
    options["max_connection_duration"] = f"{asked_after_seconds}s"
    configuration["static_resources"]["listeners"] = [inbound]
    configuration.pop("admin", None)
    return configuration


def _configuration(place: Place, workload: str) -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(place.paths.workload(workload) / "envoy.yaml")
    return found


def _inbound(configuration: dict[str, Any]) -> dict[str, Any]:
    listeners = configuration["static_resources"]["listeners"]
    found: dict[str, Any] = next(one for one in listeners if one["name"] == "inbound")
    return found


def _manager(listener: dict[str, Any]) -> dict[str, Any]:
    filters = listener["filter_chains"][0]["filters"]
    name = "envoy.filters.network.http_connection_manager"
    found: dict[str, Any] = next(one for one in filters if one["name"] == name)["typed_config"]
    return found


def _seconds(text: str) -> float:
    found = _SECONDS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration")
    return float(found[1])
