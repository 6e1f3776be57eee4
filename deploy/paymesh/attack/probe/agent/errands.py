"""What is no gRPC call: an HTTP/1.1 request, a line, a key in a file, a row in a database."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paymesh.attack.probe.agent.calls import PAUSES_SECONDS
from paymesh.attack.probe.agent.connections import (
    Connector,
    FailedError,
    RefusedError,
    judged,
    name_of,
)
from paymesh.attack.probe.agent.plan import ANSWERED, FAILED, REFUSED, Errand, Result

_MAX_BODY_BYTES = 16 << 20
_REPORTED_BYTES = 512 << 10
_MAX_KEY_BYTES = 1 << 20
_MAX_LINE_BYTES = 1 << 20
_SECONDS = 8.0
_DATABASE_SECONDS = 5
_NOT_SETTLED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# Of PostgreSQL's SQLSTATE: no such role or way in, wrong password, no privilege.
_REFUSING_STATES = frozenset({"28000", "28P01", "42501"})
# Said by the client's own library, which has no SQLSTATE for it.
_NO_PASSWORD = "no password supplied"  # noqa: S105 — a sentence of libpq


class Errands:
    """Carries out errands; one object for a plan."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def carry_out(self, errand: Errand) -> Result:
        """Its result, after as many attempts as it takes."""
        run = {
            "http": self._http,
            "line": self._line,
            "sign": _sign,
            "row": self._row,
            "read": _read,
            "access": _access,
        }[errand["kind"]]
        result: Result = {"id": errand["id"], "state": FAILED, "attempts": 0}
        doubtful = False
        for attempt, pause_seconds in enumerate(PAUSES_SECONDS, start=1):
            time.sleep(pause_seconds)
            result["attempts"] = attempt
            try:
                run(errand, result)
            except RefusedError as refusal:
                result["detail"] = refusal.detail
                if refusal.certain or doubtful:
                    result["state"] = REFUSED
                    return result
                doubtful = True
            except FailedError as failure:
                result["detail"] = str(failure)
            else:
                result["state"] = ANSWERED
                return result
        return result

    def _http(self, errand: Errand, result: Result) -> None:
        headers = errand["headers"]
        with self._connector.connect(errand["address"], errand.get("tls")) as peer:
            peer.settimeout(_SECONDS)
            connection = http.client.HTTPConnection(headers["host"], timeout=_SECONDS)
            connection.sock = peer
            body = base64.b64decode(errand.get("body", ""))
            try:
                connection.request(errand["method"], errand["path"], body or None, headers)
                response = connection.getresponse()
                content = response.read(_MAX_BODY_BYTES)
            except http.client.RemoteDisconnected as error:
                raise RefusedError("closed before an answer", certain=False) from error
            except http.client.HTTPException as error:
                raise RefusedError(f"no HTTP: {type(error).__name__}", certain=False) from error
            except OSError as error:
                raise judged(error, "before an answer") from error
        result["code"] = response.status
        result["data"] = base64.b64encode(content[:_REPORTED_BYTES]).decode("ascii")
        result["digest"] = hashlib.sha256(content).hexdigest()
        if response.status in _NOT_SETTLED:
            raise FailedError(f"HTTP {response.status}")

    def _line(self, errand: Errand, result: Result) -> None:
        with self._connector.connect(errand["address"], None) as peer:
            peer.settimeout(_SECONDS)
            try:
                peer.sendall(errand["text"].encode() + b"\n")
                with peer.makefile("rb") as file:
                    line = file.readline(_MAX_LINE_BYTES)
            except OSError as error:
                raise judged(error, "before an answer") from error
        if not line:
            raise RefusedError("closed before an answer", certain=False)
        result["data"] = base64.b64encode(line).decode("ascii")

    def _row(self, errand: Errand, result: Result) -> None:
        # Looked for first, because the driver takes a while to be loaded.
        self._connector.connect(errand["address"], None).close()
        import psycopg  # noqa: PLC0415

        address = errand["address"]
        host, port = address["tcp"] if "tcp" in address else (address["unix"], 5432)
        if "unix" in address:
            host = str(Path(host).parent)
        try:
            with psycopg.connect(
                host=host,
                port=port,
                dbname=errand["database"],
                user=errand["role"],
                password=errand.get("password") or None,
                # Nothing of this user's own files.
                passfile="/nonexistent",
                connect_timeout=_DATABASE_SECONDS,
                options=f"-c statement_timeout={_DATABASE_SECONDS * 1000}",
            ) as connection:
                connection.execute(errand["statement"].encode())
        except psycopg.Error as error:
            refused = error.sqlstate in _REFUSING_STATES or _says_refused(error)
            said = error.sqlstate or type(error).__name__
            if refused:
                raise RefusedError(f"PostgreSQL says {said}", certain=True) from error
            raise FailedError(f"PostgreSQL says {said}") from error
        result["code"] = 0


def _says_refused(error: Exception) -> bool:
    """A refusal at the door has no SQLSTATE in the driver; the sentences are the server's
    (lc_messages is C) and libpq's.
    """
    said = str(error)
    return any(
        words in said
        for words in (
            _NO_PASSWORD,
            "password authentication failed",
            "Peer authentication failed",
            "pg_hba.conf rejects connection",
            "no pg_hba.conf entry",
            "does not exist",
        )
    )


def _access(errand: Errand, result: Result) -> None:
    if not any(os.access(path, os.W_OK, effective_ids=True) for path in errand["paths"]):
        raise RefusedError("not writable", certain=True)
    result["code"] = 0


def _read(errand: Errand, result: Result) -> None:
    result["data"] = base64.b64encode(_contents(errand["paths"])[0]).decode("ascii")


def _contents(paths: list[str]) -> list[bytes]:
    """Of the files that can be read.

    Raises:
        RefusedError: none can.
    """
    read: list[bytes] = []
    why = "no file"
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                read.append(file.read(_MAX_KEY_BYTES))
        except OSError as error:
            why = name_of(error)
    if not read:
        raise RefusedError(why, certain=True)
    return read


def _sign(errand: Errand, result: Result) -> None:
    read = _contents(errand["paths"])
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    result["signatures"] = [
        base64.b64encode(key.sign(errand["text"].encode(), ec.ECDSA(hashes.SHA256()))).decode()
        for content in read
        for key in _keys(content)
        if isinstance(key, ec.EllipticCurvePrivateKey)
    ]


def _keys(content: bytes) -> Iterator[Any]:
    """The private keys in a PEM file, or in one of SPIRE's disk key manager."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    if content.startswith(b"-----BEGIN"):
        yield serialization.load_pem_private_key(content, password=None)
        return
    for encoded in json.loads(content)["keys"].values():
        yield serialization.load_der_private_key(base64.b64decode(encoded), password=None)
