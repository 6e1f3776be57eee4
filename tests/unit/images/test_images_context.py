"""The copy of the checkout that an engine sees, and this machine's settings of pip in it."""

from __future__ import annotations

import configparser
import shutil
from pathlib import Path

import pytest

from paymesh.errors import SetupError
from paymesh.images.context import (
    PIP_DIRECTORY,
    SOURCES,
    needs_host_network,
    parse_settings,
    pip_settings,
    stage_python,
)
from paymesh.mesh import repository_root

ROOT = repository_root()


def written(context: Path) -> dict[str, str]:
    """The staged pip.conf."""
    parser = configparser.RawConfigParser()
    parser.read(context / PIP_DIRECTORY / "pip.conf")
    return dict(parser["global"]) if "global" in parser else {}


def test_only_sources_are_staged(tmp_path: Path) -> None:
    """No compiled file, no test, no secret, nothing of git's or the environment's."""
    stage_python(ROOT, tmp_path, {})
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(path.as_posix().startswith(SOURCES) for path in files)
    assert not {"__pycache__", ".git", ".venv", "tests"} & {p for f in files for p in f.parts}
    assert not {".pem", ".key", ".conf"} & {path.suffix for path in files}
    assert (tmp_path / "deploy/images/python/pip/README.md").is_file()


def test_settings_are_passed_on(tmp_path: Path) -> None:
    """Index, proxy and authority reach pip in the build, at the place where they are there."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("an authority")
    settings = {
        "index-url": "https://user:secret@index.example/simple",
        "extra-index-url": "https://one.example\nhttps://two.example",
        "cert": str(bundle),
        "find-links": "/somewhere/here",
    }
    context = tmp_path / "context"
    context.mkdir()
    stage_python(ROOT, context, settings)
    found = written(context)
    assert found.pop("cert") == "/build/ca.pem"
    assert found["extra-index-url"].split() == ["https://one.example", "https://two.example"]
    assert found == {name: settings[name] for name in ("index-url", "extra-index-url")}
    assert (context / PIP_DIRECTORY / "ca.pem").read_text() == "an authority"


def test_a_checkout_s_own_settings_are_not_staged(tmp_path: Path) -> None:
    """What somebody put there for a build by hand does not win over the machine's."""
    for source in SOURCES:
        shutil.copytree(ROOT / source, tmp_path / "root" / source)
    (tmp_path / "root" / PIP_DIRECTORY / "pip.conf").write_text("[global]\nproxy = http://old\n")
    (tmp_path / "context").mkdir()
    stage_python(tmp_path / "root", tmp_path / "context", {})
    assert written(tmp_path / "context") == {}


def test_an_authority_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    """A dangling `cert` fails here and not in the middle of a build."""
    with pytest.raises(SetupError, match="pip's `cert` cannot be read"):
        stage_python(ROOT, tmp_path, {"cert": str(tmp_path / "nothing")})


def test_the_environment_wins_over_files() -> None:
    """In pip's order: global, install, environment; names as in a file."""
    listed = r"""
:env:.default-timeout='180'
:env:.index-url='https://environment.example'
download.index-url='https://download.example'
global.index-url='https://global.example'
global.extra-index-url='https://a.example\nhttps://b.example'
global.proxy='http://global.example'
install.proxy='http://install.example'
nonsense
"""
    assert parse_settings(listed, {}) == {
        "timeout": "180",
        "index-url": "https://environment.example",
        "extra-index-url": "https://a.example\nhttps://b.example",
        "proxy": "http://install.example",
    }


@pytest.mark.parametrize(
    ("listed", "environment", "cert"),
    [
        ("global.cert='/pip'", {"REQUESTS_CA_BUNDLE": "/requests"}, "/pip"),
        ("", {"REQUESTS_CA_BUNDLE": "/requests", "SSL_CERT_FILE": "/ssl"}, "/requests"),
        ("", {"SSL_CERT_FILE": "/ssl", "CURL_CA_BUNDLE": ""}, "/ssl"),
        ("", {}, None),
    ],
)
def test_an_authority_of_the_machine_s_is_found(
    listed: str, environment: dict[str, str], cert: str | None
) -> None:
    """Pip's own setting first, then the variables that its library reads."""
    assert parse_settings(listed, environment).get("cert") == cert


@pytest.mark.parametrize(
    ("settings", "environment", "needed"),
    [
        ({}, {}, False),
        ({"index-url": "https://index.example/simple"}, {}, False),
        ({"index-url": "http://127.0.0.1:3141/root"}, {}, True),
        ({"extra-index-url": "https://a.example http://localhost:1/"}, {}, True),
        ({}, {"HTTPS_PROXY": "http://localhost:3128"}, True),
        ({}, {"https_proxy": "http://localhost.example:3128"}, False),
    ],
)
def test_loopback_needs_the_host_s_network(
    settings: dict[str, str], environment: dict[str, str], *, needed: bool
) -> None:
    """A build has a loopback of its own unless it is told otherwise."""
    assert needs_host_network(settings, environment) == needed


def test_this_machine_s_settings_are_readable() -> None:
    """Pip itself lists them in the form that is parsed here."""
    assert all(isinstance(value, str) for value in pip_settings().values())
