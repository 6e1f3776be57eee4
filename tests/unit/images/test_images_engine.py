"""Container engines: which is taken, what it is told, what its failure looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paymesh.cli import main
from paymesh.errors import SetupError
from paymesh.images import ENGINES, Engine, find_engine

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a program of an engine's name on an otherwise empty PATH; it writes down its words."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def make(name: str, script: str = "exit 0") -> Path:
        path = directory / name
        log = directory / "words"
        path.write_text(f'#!/bin/sh\nfor w in "$@"; do echo "$w" >> {log}; done\n{script}\n')
        path.chmod(0o755)
        return log

    return make


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (ENGINES, "docker"),
        (("podman", "buildah"), "podman"),
        (("buildah",), "buildah"),
    ],
)
def test_the_first_that_works_is_taken(
    install: Install, there: tuple[str, ...], taken: str
) -> None:
    """Docker, podman, buildah, in this order."""
    for name in there:
        install(name)
    assert find_engine().name == taken


def test_a_client_without_its_daemon_is_no_engine(install: Install) -> None:
    """Docker's client alone is passed over, and said to be the reason when asked for."""
    install("docker", "echo 'Cannot connect to the daemon' >&2; exit 1")
    with pytest.raises(SetupError, match=r"docker: Cannot connect.*start it, or install"):
        find_engine()
    install("buildah")
    assert find_engine().name == "buildah"
    with pytest.raises(SetupError, match="docker: Cannot connect"):
        find_engine("docker")


@pytest.mark.parametrize("name", [None, "podman"])
def test_no_engine_is_a_sentence(install: Install, name: str | None) -> None:
    """It says what to install."""
    assert install
    with pytest.raises(SetupError, match=r"is missing: install docker, podman or buildah"):
        find_engine(name)


@pytest.mark.parametrize("name", ENGINES)
def test_what_an_engine_is_told(install: Install, tmp_path: Path, name: str) -> None:
    """Tag, file, target and arguments as separate words, the context last."""
    log = install(name)
    Engine(name, log.with_name(name)).build(
        "paymesh.internal/x:1",
        tmp_path / "Dockerfile",
        tmp_path,
        print,
        target="platform",
        arguments={"PYTHON_IMAGE": "a; b"},
        host_network=True,
    )
    layers = [] if name == "docker" else ["--layers"]
    assert log.read_text().splitlines() == [
        *("build", "--tag", "paymesh.internal/x:1", "--file", str(tmp_path / "Dockerfile")),
        *layers,
        *("--target", "platform", "--build-arg", "PYTHON_IMAGE=a; b"),
        *("--network", "host", str(tmp_path)),
    ]


def test_a_proxy_is_named_and_not_shown(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker takes the proxy from its environment: a password in it is on no command line."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy:3128")
    log = install("docker")
    Engine("docker", log.with_name("docker")).build("x:1", tmp_path / "D", tmp_path, print)
    words = log.read_text()
    assert "--build-arg\nHTTPS_PROXY\n" in words
    assert "secret" not in words


@pytest.mark.parametrize("name", ENGINES)
def test_a_refusal_has_the_last_lines(install: Install, tmp_path: Path, name: str) -> None:
    """Every line is reported, and the error ends with what the engine said last."""
    log = install(name, "for i in 1 2 3; do echo line $i; done; echo 'no space' >&2; exit 125")
    lines: list[str] = []
    engine = Engine(name, log.with_name(name))
    with pytest.raises(SetupError, match=r"(?s)x:1 could not be built:\n.*no space"):
        engine.build("x:1", tmp_path / "Dockerfile", tmp_path, lines.append)
    assert lines == ["line 1", "line 2", "line 3", "no space"]
    with pytest.raises(SetupError, match="x:1 could not be saved"):
        engine.save("x:1", tmp_path / "x.tar", lines.append)


@pytest.mark.parametrize("name", ENGINES)
def test_an_archive_is_whole_or_not_there(install: Install, tmp_path: Path, name: str) -> None:
    """The old archive stays until the new one is written; nothing else is left behind."""
    out = tmp_path / "out"
    out.mkdir()
    file = out / "x.tar"
    file.write_text("old")
    # The last word but for the tag names the file, in each engine's own way.
    half = 'for w in "$@"; do case $w in *fresh*) f=${w#docker-archive:}; f=${f%:x:1};; esac; done'
    log = install(name, f"{half}; echo half > $f; exit 1")
    engine = Engine(name, log.with_name(name))
    with pytest.raises(SetupError):
        engine.save("x:1", file, print)
    assert (file.read_text(), len(list(out.iterdir()))) == ("old", 1)
    install(name, f"{half}; echo new > $f")
    engine.save("x:1", file, print)
    assert (file.read_text(), len(list(out.iterdir()))) == ("new\n", 1)


def test_the_command_builds_what_it_is_asked_for(install: Install, tmp_path: Path) -> None:
    """`paymesh images simulators -o json`: one image, one document, its base as given."""
    log = install("buildah")
    done = CliRunner().invoke(
        main._app,
        ["images", "simulators", "-o", "json", "--python-image", "base:1"],
        env={"PAYMESH_HOME": str(tmp_path), "PAYMESH_CACHE": str(tmp_path)},
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["engine"] == "buildah"
    assert [image["image"].rpartition(":")[0] for image in answer["images"]] == [
        "paymesh.internal/simulators"
    ]
    words = log.read_text().splitlines()
    assert words[words.index("--target") + 1] == "simulators"
    assert "PYTHON_IMAGE=base:1" in words
