"""The configuration is whole or the service does not start."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshkit.config import AppConfig, ConfigError, load_config
from meshkit.database import open_pool

REQUIRED = (
    "PAYMESH_WORKLOAD",
    "PAYMESH_TRUST_DOMAIN",
    "PAYMESH_APP_SOCKET",
    "PAYMESH_OUTBOUND_SOCKET",
    "PAYMESH_PDP_URL",
    "PAYMESH_PDP_TOKEN_FILE",
    "PAYMESH_MAX_MESSAGE_BYTES",
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A complete environment."""
    (tmp_path / "dsn").write_text("host=/run password=hunter2\n")
    (tmp_path / "token").write_text("pdp-secret\n")
    (tmp_path / "key").write_text("sk_test_provider\n")
    return {
        "PAYMESH_WORKLOAD": "payments",
        "PAYMESH_TRUST_DOMAIN": "paymesh.internal",
        "PAYMESH_APP_SOCKET": "app.sock",
        "PAYMESH_OUTBOUND_SOCKET": "outbound.sock",
        "PAYMESH_EGRESS_SOCKET": "egress.sock",
        "PAYMESH_DSN_FILE": str(tmp_path / "dsn"),
        "PAYMESH_PDP_URL": "http://127.0.0.1:18511",
        "PAYMESH_PDP_TOKEN_FILE": str(tmp_path / "token"),
        "PAYMESH_PROVIDER_KEY_FILE": str(tmp_path / "key"),
        "PAYMESH_MAX_MESSAGE_BYTES": "65536",
    }


async def test_a_service_with_a_database_refuses_to_start_without_one(
    environment: dict[str, str],
) -> None:
    """A service without a database needs no DSN; one that opens a pool is told what is missing."""
    del environment["PAYMESH_DSN_FILE"]
    config = load_config(environment)
    with pytest.raises(ConfigError, match="PAYMESH_DSN_FILE"):
        await open_pool(config)


def test_a_complete_environment_is_read(environment: dict[str, str]) -> None:
    """Every variable arrives in its field; secrets come from their files without line ends."""
    config = load_config(environment)
    assert config == AppConfig(
        workload="payments",
        trust_domain="paymesh.internal",
        app_socket=Path("app.sock"),
        outbound_socket=Path("outbound.sock"),
        egress_socket=Path("egress.sock"),
        dsn="host=/run password=hunter2",
        pdp_url="http://127.0.0.1:18511",
        pdp_token="pdp-secret",
        provider_key="sk_test_provider",
        max_message_bytes=65536,
        otlp_endpoint=None,
        log_level="info",
    )


def test_secrets_are_not_in_the_repr(environment: dict[str, str]) -> None:
    """A configuration that ends up in a log or a traceback shows no secret."""
    text = repr(load_config(environment))
    for secret in ("hunter2", "pdp-secret", "sk_test_provider"):
        assert secret not in text


def test_a_configuration_cannot_be_changed(environment: dict[str, str]) -> None:
    """The object is frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config(environment).workload = "ledger"  # type: ignore[misc]


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_missing_is_named(environment: dict[str, str], name: str) -> None:
    """Without any one of the required variables there is no configuration, and it is named."""
    del environment[name]
    with pytest.raises(ConfigError, match=f"^{name} is not set.$"):
        load_config(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYMESH_WORKLOAD", "Payments!"),
        ("PAYMESH_PDP_URL", "https://127.0.0.1:1"),
        ("PAYMESH_PDP_URL", "http://127.0.0.1"),
        ("PAYMESH_PDP_URL", "http://127.0.0.1:99999"),
        ("PAYMESH_PDP_URL", "http://u:p@127.0.0.1:1"),
        ("PAYMESH_PDP_URL", "http://127.0.0.1:1/v1"),
        ("PAYMESH_MAX_MESSAGE_BYTES", "0"),
        ("PAYMESH_MAX_MESSAGE_BYTES", "-1"),
        ("PAYMESH_MAX_MESSAGE_BYTES", "64k"),
        ("PAYMESH_MAX_MESSAGE_BYTES", "99999999999"),
        ("PAYMESH_LOG_LEVEL", "loud"),
        ("PAYMESH_DSN_FILE", "/nowhere/dsn"),
        ("PAYMESH_PDP_TOKEN_FILE", "/dev/null"),
        ("PAYMESH_PROVIDER_KEY_FILE", "/"),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], name: str, value: str) -> None:
    """A value that cannot be meant is refused in one sentence that names the variable."""
    with pytest.raises(ConfigError) as caught:
        load_config(environment | {name: value})
    text = str(caught.value)
    assert name in text
    assert text.endswith(".")
    assert "\n" not in text


def test_what_only_some_services_have_may_be_left_out(environment: dict[str, str]) -> None:
    """A service without providers has neither an egress socket nor a provider's key."""
    del environment["PAYMESH_EGRESS_SOCKET"], environment["PAYMESH_PROVIDER_KEY_FILE"]
    config = load_config(environment)
    assert (config.egress_socket, config.provider_key) == (None, None)


def test_a_service_refuses_to_start_with_one_sentence() -> None:
    """`run` without configuration writes one line to stderr, no traceback, and exits with 78."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith("PAYMESH_")}
    code = "from meshkit.server import run; run(None)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=bare | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (78, "PAYMESH_WORKLOAD is not set.\n")
