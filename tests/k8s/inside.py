"""Runs inside a pod: `python -c <this file>`, requests as JSON on standard input.

It knows nothing of the project but what stands in the image: Python and grpcio.
Each request becomes one line of JSON on standard output, in order:

    {"do": "call", "target", "name", "svid": {certificates, key, bundle} | null,
     "rpc", "messages": [base64, …], "metadata": [[name, value], …], "timeout_seconds"}
    {"do": "connect", "addresses": [[host, port], …], "timeout_seconds"}
    {"do": "listening"}        ports that something in this pod listens on beyond loopback
    {"do": "open", "paths"}    which of these files or Unix sockets can be opened
    {"do": "http", "url", "headers"}
    {"do": "identity", "socket"}   the SPIFFE ID that the Workload API gives to this process
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import stat
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_CONNECTIONS_AT_ONCE = 400
_LISTEN = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_channels: dict[str, Any] = {}


def call(request: dict[str, Any]) -> dict[str, Any]:
    """One gRPC call with one or several messages; what came back, as far as tests compare it."""
    import grpc  # noqa: PLC0415 — a pod that only scans may have none

    try:
        _channel(request).stream_unary(request["rpc"])(
            iter([base64.b64decode(message) for message in request["messages"]]),
            timeout=request.get("timeout_seconds", 10),
            metadata=[tuple(pair) for pair in request.get("metadata", ())],
        )
    except grpc.RpcError as error:
        found: dict[str, Any] = {}
        for source in (error.initial_metadata(), error.trailing_metadata()):
            found.update((key, value) for key, value in source or ())
        return {
            "code": error.code().name,
            "message": error.details(),
            "reason": found.get("x-paymesh-reason"),
            "decision_id": found.get("x-paymesh-decision-id"),
            "details": base64.b64encode(found.get("grpc-status-details-bin", b"")).decode(),
        }
    return {"code": "OK", "message": "", "reason": None, "decision_id": None, "details": ""}


def _channel(request: dict[str, Any]) -> Any:
    import grpc  # noqa: PLC0415

    svid = request.get("svid")
    key = json.dumps([request["target"], request.get("name"), svid])
    if key not in _channels:
        if svid is None:
            _channels[key] = grpc.insecure_channel(request["target"])
        else:
            identity = [svid[part].encode() or None for part in ("bundle", "key", "certificates")]
            _channels[key] = grpc.secure_channel(
                request["target"],
                grpc.ssl_channel_credentials(*identity),
                options=[("grpc.ssl_target_name_override", request["name"])],
            )
    return _channels[key]


def connect(request: dict[str, Any]) -> list[str]:
    """`open`, `refused` or `silent` for each address."""
    return asyncio.run(_connect(request["addresses"], request.get("timeout_seconds", 1.0)))


async def _connect(addresses: list[tuple[str, int]], seconds: float) -> list[str]:
    gate = asyncio.Semaphore(_CONNECTIONS_AT_ONCE)

    async def one(host: str, port: int) -> str:
        async with gate:
            try:
                async with asyncio.timeout(seconds):
                    _, writer = await asyncio.open_connection(host, port)
            except TimeoutError:
                return "silent"
            except OSError:
                return "refused"
            writer.close()
            return "open"

    return await asyncio.gather(*(one(host, port) for host, port in addresses))


def listening(_: dict[str, Any]) -> list[int]:
    """TCP ports in LISTEN that are not bound to loopback alone (proc_net_tcp)."""
    ports = set()
    for name in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{name}").read_text("ascii").splitlines()[1:]
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, _, port = local.partition(":")
            if state == _LISTEN and address not in {"0100007F", "0" * 24 + "01000000"}:
                ports.add(int(port, 16))
    return sorted(ports)


def open_paths(request: dict[str, Any]) -> list[str]:
    """Those of the paths that can be read or, being sockets, connected to."""
    found = []
    for path in request["paths"]:
        try:
            if stat.S_ISSOCK(Path(path).stat().st_mode):
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(2)
                    client.connect(path)
            else:
                os.close(os.open(path, os.O_RDONLY))
        except OSError:
            continue
        found.append(path)
    return found


def http(request: dict[str, Any]) -> dict[str, Any]:
    """Status and body of a GET, by http or https with any certificate; status 0: no answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    asked = urllib.request.Request(request["url"], headers=request.get("headers", {}))  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=3, context=context) as reply:  # noqa: S310
            return {"status": reply.status, "body": reply.read(4096).decode(errors="replace")}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read(4096).decode(errors="replace")}
    except OSError as error:
        return {"status": 0, "body": type(error).__name__}


def identity(request: dict[str, Any]) -> dict[str, Any]:
    """What the Workload API behind this socket says of who we are."""
    from spiffe import WorkloadApiClient  # noqa: PLC0415 — only in the services' image

    try:
        with WorkloadApiClient(f"unix://{request['socket']}") as client:
            context = client.fetch_x509_context(timeout=10)
        return {"spiffe_id": str(context.default_svid.spiffe_id), "problem": None}
    except Exception as error:  # noqa: BLE001 — whatever it is, it is no identity
        return {"spiffe_id": None, "problem": f"{type(error).__name__}: {error}"}


_DO = {
    "identity": identity,
    "call": call,
    "connect": connect,
    "listening": listening,
    "open": open_paths,
    "http": http,
}

if __name__ == "__main__":
    for asked in json.load(sys.stdin):
        sys.stdout.write(json.dumps(_DO[asked["do"]](asked)) + "\n")
        sys.stdout.flush()
