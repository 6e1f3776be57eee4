"""Real Envoys with the configuration of a pod.

Changed is only what a test's machine has elsewhere: ports, mounted files, the
names of other pods, and that certificates come from files.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import yaml
from envoy_authority import Authority, Pair
from envoy_sidecars import ROOT, prepare, with_file_secrets

from paymesh.mesh import Mesh
from paymesh.render import cluster, readdress

_MOUNTED = {mounted: name for name, mounted in cluster.FILES.items()}
_MOUNTED[f"/etc/paymesh/envoy/{cluster.CERTIFICATE_FILE}"] = f"./{cluster.CERTIFICATE_FILE}"
# A Secret is mounted as a directory: see `renew`.
_TLS = "tls"
_MOUNTED |= {
    mounted: mounted.replace(cluster.TLS_DIR, f"./{_TLS}")
    for mounted in (cluster.TLS_DIR, *_MOUNTED)
    if mounted.startswith(cluster.TLS_DIR)
}


def of_pod(workload: str) -> dict[str, Any]:
    """The committed configuration of a workload's Envoy in a pod."""
    text = (ROOT / "envoy" / "kubernetes" / f"{workload}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def prepare_pod(
    run: Path, mesh: Mesh, workload: str, authority: Authority, svid: Pair
) -> tuple[Path, int]:
    """Fills a workload's runtime directory as a pod's; returns it and the probe's port."""
    home = prepare(run, mesh, workload, authority, svid)
    mount_certificate(home, authority.server("localhost"))
    config = readdress(of_pod(workload), mesh)
    probe = config["static_resources"]["listeners"][-1]["address"]["socket_address"]
    probe["port_value"] = _free_port()
    text = yaml.safe_dump(with_file_secrets(brought_here(config)))
    (home / "envoy.yaml").write_text(text, encoding="utf-8")
    return home, probe["port_value"]


def mount_certificate(home: Path, pair: Pair) -> None:
    """Mounts a Secret with a certificate, and the file beside envoy.yaml that says where it is."""
    (home / _TLS).mkdir()
    renew(home, pair)
    text = (ROOT / "envoy" / "kubernetes" / "gateway-tls.yaml").read_text(encoding="utf-8")
    file = yaml.safe_dump(brought_here(yaml.safe_load(text)))
    (home / cluster.CERTIFICATE_FILE).write_text(file, encoding="utf-8")


def renew(home: Path, pair: Pair) -> None:
    """Changes a mounted Secret as the kubelet does: all of its keys at once, by one rename."""
    directory = home / _TLS
    data, old = directory / "..data", list(directory.glob("..2*"))
    new = directory / f"..2026_{time.monotonic_ns()}"
    new.mkdir()
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (new / name).write_bytes(content)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    data.with_name("..data_tmp").symlink_to(new.name)
    data.with_name("..data_tmp").rename(data)
    for gone in old:
        shutil.rmtree(gone)


def brought_here(value: Any) -> Any:
    """The same with mounted files by their names in the runtime directory, pods on this host."""
    if isinstance(value, dict):
        return {key: brought_here(child) for key, child in value.items()}
    if isinstance(value, list):
        return [brought_here(child) for child in value]
    if isinstance(value, str) and value.endswith(".svc.cluster.local."):
        return "127.0.0.1"
    return _MOUNTED.get(value, value) if isinstance(value, str) else value


def probed(port: int, path: str, method: str = "GET") -> int:
    """What the kubelet would see: the status of one request, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def post_admin(home: Path, path: str) -> int:
    """A POST at Envoy's administration socket; the status."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    try:
        connection.sock.connect(str(home / "admin.sock"))
        connection.request("POST", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
