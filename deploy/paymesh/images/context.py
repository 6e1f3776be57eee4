"""What an engine gets to see: a copy of a few files, never the checkout.

The copy also has this machine's settings of pip, which the checkout must not have: which
index, through which proxy, trusting which authority.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from paymesh.errors import SetupError

# As in .dockerignore, which says the same to whoever runs an engine by hand.
SOURCES = ("deploy/images/python", "deploy/paymesh/policy", "services")
PIP_DIRECTORY = Path("deploy/images/python/pip")
# Where pip's directory is in the stage that uses it.
_IN_BUILD = "/build"
_PASSED_ON = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
# pip's own settings win; then what its HTTP library reads.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_SETTING = re.compile(r"(global|install|:env:)\.(?:default-)?([a-z-]+)=(['\"].*['\"])")
_ORDER = ("global", "install", ":env:")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def stage_python(root: Path, context: Path, settings: Mapping[str, str]) -> None:
    """Copies what the Python images are made of, readable by all as an image's files must be.

    Args:
        root: the checkout.
        context: an empty directory.
        settings: of `pip_settings`.

    Raises:
        SetupError: `cert` names a file that cannot be read.
    """
    for source in SOURCES:
        shutil.copytree(
            root / source,
            context / source,
            ignore=shutil.ignore_patterns("__pycache__", "pip.conf", "ca.pem"),
        )
    directory = context / PIP_DIRECTORY
    passed_on = {name: settings[name] for name in _PASSED_ON if settings.get(name)}
    if settings.get("cert"):
        try:
            # Of now and of the same content: the time must not make a step run again.
            shutil.copy2(settings["cert"], directory / "ca.pem")
        except OSError as error:
            raise SetupError(f"pip's `cert` cannot be read: {error}") from error
        passed_on["cert"] = f"{_IN_BUILD}/ca.pem"
    if passed_on:
        parser = configparser.RawConfigParser()
        parser["global"] = {
            name: value.replace("\n", "\n    ") for name, value in passed_on.items()
        }
        with (directory / "pip.conf").open("w", encoding="utf-8") as file:
            parser.write(file)
        os.utime(directory / "pip.conf", (0, 0))


def stage_program(program: Path, dockerfile: Path, context: Path) -> None:
    """Copies one static program and its Dockerfile."""
    shutil.copy2(program, context / program.name)
    shutil.copy2(dockerfile, context / "Dockerfile")


def pip_settings() -> dict[str, str]:
    """What pip is told on this machine, by its files and by the environment.

    Raises:
        SetupError: this environment's pip does not run.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise SetupError(f"`pip config list` failed: {done.stderr.strip()[-400:]}")
    return parse_settings(done.stdout, os.environ)


def parse_settings(listed: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in what `pip config list` prints; the environment's win over files'.

    Of several files pip itself prints only the one that counts.
    """
    found: dict[str, dict[str, str]] = {section: {} for section in _ORDER}
    for line in listed.splitlines():
        match = _SETTING.fullmatch(line)
        if match:
            found[match[1]][match[2]] = str(ast.literal_eval(match[3]))
    settings: dict[str, str] = {}
    for section in _ORDER:
        settings.update(found[section])
    bundle = next((environment[name] for name in _CA_VARIABLES if environment.get(name)), None)
    if bundle:
        settings.setdefault("cert", bundle)
    return settings


def needs_host_network(settings: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    """Whether packages come through this machine's own loopback, which a build cannot reach."""
    urls = " ".join(settings.get(name, "") for name in ("index-url", "extra-index-url", "proxy"))
    proxies = [environment.get(name, "") for name in ("HTTPS_PROXY", "https_proxy")]
    return any(urlsplit(url).hostname in _LOOPBACK for url in (*urls.split(), *proxies) if url)
