"""Where decision points of this machine ship their decisions to, from the environment.

    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT   OTLP/HTTP in protobuf, such as https://collector/v1/logs
    PAYMESH_DECISIONS_HTTP_ENDPOINT    or lines of JSON
    PAYMESH_DECISIONS_TOKEN_FILE       with a bearer token
    PAYMESH_DECISIONS_CA_FILE          with the authorities of the receiver's certificate, PEM

Decision points run as other users, so each gets copies of the two files, and new ones
when they change.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

from paymesh.errors import ConfigError, SetupError
from paymesh.mesh import Mesh, Workload
from paymesh.paths import Paths
from paymesh.render.pdp import Receiver
from paymesh.runtime.accounts import Accounts
from paymesh.runtime.files import write_file

OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
HTTP_ENDPOINT = "PAYMESH_DECISIONS_HTTP_ENDPOINT"
TOKEN_FILE = "PAYMESH_DECISIONS_TOKEN_FILE"  # noqa: S105 — a variable's name
CA_FILE = "PAYMESH_DECISIONS_CA_FILE"
VARIABLES = (OTLP_ENDPOINT, HTTP_ENDPOINT, TOKEN_FILE, CA_FILE)

_MAX_FILE_BYTES = 1 << 20
_LOOK_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class _Copy:
    """A file of the user's, and its name in a workload's directory."""

    source: Path
    name: str
    mode: int


class Shipping:
    """What the environment says, for one home."""

    def __init__(
        self, paths: Paths, mesh: Mesh, accounts: Accounts, environment: Mapping[str, str]
    ) -> None:
        """Reads the variables.

        Raises:
            ConfigError: they say something impossible.
        """
        self._paths = paths
        self._mesh = mesh
        self._accounts = accounts
        self._endpoint, self._format = _endpoint(environment)
        self._copies = {
            variable: _Copy(_absolute(variable, environment[variable]), name, mode)
            for variable, name, mode in (
                (TOKEN_FILE, "shipping-token", 0o400),
                (CA_FILE, "shipping-ca.pem", 0o444),
            )
            if self._endpoint and environment.get(variable)
        }

    def receiver(self, workload: Workload) -> Receiver | None:
        """For the workload's decision point; None where nothing is configured."""
        if not self._endpoint:
            return None
        token, authorities = (self._copies.get(name) for name in (TOKEN_FILE, CA_FILE))
        return Receiver(
            endpoint=self._endpoint,
            format=self._format,
            service_name=f"{workload.name}-pdp",
            token_file=token.name if token else None,
            ca_file=authorities.name if authorities else None,
        )

    def copy(self) -> None:
        """Gives every decision point the files as they are now; one whose directory does not
        take them keeps none of the others from theirs.

        Raises:
            ConfigError: one cannot be read.
            SetupError: some decision points could not be given theirs.
        """
        problems = []
        for variable, copy in self._copies.items():
            content = _read(variable, copy.source)
            for workload in self._mesh.services():
                path = self._paths.workload(workload.name) / copy.name
                try:
                    write_file(path, content, copy.mode, self._accounts.of(workload.name))
                except (OSError, SetupError) as error:
                    problems.append(str(error))
        if problems:
            raise SetupError("; ".join(problems))

    async def follow(self, say: Callable[[str], None]) -> None:
        """Copies what changes until cancelled; until a file can be read again, the copies stay.

        Args:
            say: takes a line for the supervisor's log.
        """
        said = ""
        while self._copies:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.copy)
                problem = ""
            except (ConfigError, SetupError, OSError) as error:
                problem = str(error)
            if problem and problem != said:
                say(f"the decision points keep the shipping's files that they have: {problem}")
            said = problem


def _endpoint(environment: Mapping[str, str]) -> tuple[str, str]:
    otlp, http = environment.get(OTLP_ENDPOINT, ""), environment.get(HTTP_ENDPOINT, "")
    if otlp and http:
        raise ConfigError(f"{OTLP_ENDPOINT} and {HTTP_ENDPOINT} are both set: leave one of them")
    name, endpoint = (OTLP_ENDPOINT, otlp) if otlp else (HTTP_ENDPOINT, http)
    if endpoint and not _is_safe(endpoint):
        # Not repeated here: there may be a password in it.
        raise ConfigError(
            f"{name} must be an https URL, or http on this machine's loopback interface, without"
            f" a name or password in it: a token belongs into the file of {TOKEN_FILE}"
        )
    return endpoint, "otlp" if otlp else "ndjson"


def _is_safe(endpoint: str) -> bool:
    try:
        url = urllib.parse.urlsplit(endpoint)
        host, has_port = url.hostname, url.port != 0
    except ValueError:
        return False
    if not host or not has_port or url.username is not None:
        return False
    return url.scheme == "https" or (url.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _absolute(variable: str, path: str) -> Path:
    if not Path(path).is_absolute():
        raise ConfigError(f"{variable} must be an absolute path")
    return Path(path)


def _read(variable: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{variable}: {path} cannot be read: {error.strerror}") from error
    if not content.strip() or len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"{variable}: {path} is empty, or far too large")
    return content
