"""What a service is told by its environment, read once into a frozen object."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_LOG_LEVELS = ("debug", "info", "warning", "error")
_MAX_MESSAGE_BYTES_LIMIT = 16 * 1024 * 1024
_WORKLOAD = re.compile(r"[a-z][a-z0-9-]{0,62}")
_MAX_SECRET_BYTES = 8192
_MAX_DRAIN_SECONDS = 300
_SECONDS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")


class ConfigError(Exception):
    """The environment does not say what it must; the message is one sentence that names it."""


@dataclass(frozen=True, slots=True)
class Draining:
    """How a service ends where callers know it by more than its socket: in a cluster."""

    admin_socket: Path
    seconds: float


@dataclass(frozen=True, slots=True)
class AppConfig:
    """A service's configuration. Secrets are left out of its repr."""

    workload: str
    trust_domain: str
    app_socket: Path
    outbound_socket: Path
    egress_socket: Path | None
    dsn: str | None = field(repr=False)
    pdp_url: str
    pdp_token: str = field(repr=False)
    provider_key: str | None = field(repr=False)
    max_message_bytes: int
    otlp_endpoint: str | None
    log_level: str
    draining: Draining | None = None


def load_config(environment: Mapping[str, str] | None = None) -> AppConfig:
    """Read the configuration from the environment and the files that it names.

    Raises ConfigError with one sentence. A secret comes from a file, never from
    a variable, and has no default.
    """
    source = os.environ if environment is None else environment
    workload = _required(source, "PAYMESH_WORKLOAD")
    if not _WORKLOAD.fullmatch(workload):
        raise ConfigError("PAYMESH_WORKLOAD must be a name of a-z, 0-9 and hyphen.")
    egress = source.get("PAYMESH_EGRESS_SOCKET")
    dsn_file = source.get("PAYMESH_DSN_FILE")
    provider_key_file = source.get("PAYMESH_PROVIDER_KEY_FILE")
    return AppConfig(
        workload=workload,
        trust_domain=_required(source, "PAYMESH_TRUST_DOMAIN"),
        app_socket=Path(_required(source, "PAYMESH_APP_SOCKET")),
        outbound_socket=Path(_required(source, "PAYMESH_OUTBOUND_SOCKET")),
        egress_socket=Path(egress) if egress else None,
        # Not every service has a database; one that has refuses to start without.
        dsn=_secret(dsn_file, "PAYMESH_DSN_FILE") if dsn_file else None,
        pdp_url=_pdp_url(_required(source, "PAYMESH_PDP_URL")),
        pdp_token=_secret(_required(source, "PAYMESH_PDP_TOKEN_FILE"), "PAYMESH_PDP_TOKEN_FILE"),
        provider_key=(
            _secret(provider_key_file, "PAYMESH_PROVIDER_KEY_FILE") if provider_key_file else None
        ),
        max_message_bytes=_max_message_bytes(_required(source, "PAYMESH_MAX_MESSAGE_BYTES")),
        otlp_endpoint=source.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
        log_level=load_log_level(source),
        draining=load_draining(source),
    )


def load_draining(environment: Mapping[str, str] | None = None) -> Draining | None:
    """Read PAYMESH_ADMIN_SOCKET and PAYMESH_DRAIN_SECONDS: both, or None for neither.

    Raises ConfigError.
    """
    source = os.environ if environment is None else environment
    admin_socket = source.get("PAYMESH_ADMIN_SOCKET", "")
    text = source.get("PAYMESH_DRAIN_SECONDS", "")
    if not admin_socket and not text:
        return None
    if not admin_socket or not text:
        missing = "PAYMESH_DRAIN_SECONDS" if admin_socket else "PAYMESH_ADMIN_SOCKET"
        raise ConfigError(f"{missing} is not set, and the other one of the two is.")
    if not _SECONDS.fullmatch(text) or float(text) > _MAX_DRAIN_SECONDS:
        raise ConfigError(f"PAYMESH_DRAIN_SECONDS must be a number from 0 to {_MAX_DRAIN_SECONDS}.")
    return Draining(Path(admin_socket), float(text))


def load_log_level(environment: Mapping[str, str] | None = None) -> str:
    """Read PAYMESH_LOG_LEVEL; `info` when it is not set. Raises ConfigError."""
    source = os.environ if environment is None else environment
    return _log_level(source.get("PAYMESH_LOG_LEVEL") or "info")


def _required(source: Mapping[str, str], name: str) -> str:
    value = source.get(name, "")
    if not value:
        raise ConfigError(f"{name} is not set.")
    return value


def _secret(path: str, variable: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_MAX_SECRET_BYTES + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{path}, which {variable} names, cannot be read: {what}.") from error
    if not text or len(text) > _MAX_SECRET_BYTES:
        raise ConfigError(f"{path}, which {variable} names, is empty or too long.")
    return text


def _pdp_url(text: str) -> str:
    problem = ConfigError("PAYMESH_PDP_URL must be http://<host>:<port> and nothing more.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise problem from None
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme != "http" or not parts.hostname or port is None or more:
        raise problem
    return f"http://{parts.netloc}"


def _max_message_bytes(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MAX_MESSAGE_BYTES_LIMIT:
        raise ConfigError(
            f"PAYMESH_MAX_MESSAGE_BYTES must be a number from 1 to {_MAX_MESSAGE_BYTES_LIMIT}."
        )
    return int(text)


def _log_level(text: str) -> str:
    if text.lower() not in _LOG_LEVELS:
        raise ConfigError(f"PAYMESH_LOG_LEVEL must be one of {', '.join(_LOG_LEVELS)}.")
    return text.lower()
