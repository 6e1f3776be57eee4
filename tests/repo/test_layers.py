"""Rules of the code's structure, proved from its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from paymesh.mesh import repository_root

ROOT = repository_root()
SERVICES = ("payments", "ledger", "bank_link")
APPS = (*SERVICES, "statements", "simulators")
LONGEST_FILE_LINES = 300
# A test file is a list: it is read from the top, not as a whole.
LONGEST_TEST_LINES = 450
LONGEST_FUNCTION_LINES = 60
LONGEST_ENTRY_POINT_LINES = 30

# What may be longer, and why.
LONGER_FILES: dict[str, str] = {}


def _sources(suffix: str) -> list[Path]:
    """Hand-written sources, relative to the checkout; works without git."""
    found = [
        path.relative_to(ROOT)
        for directory in ("services", "deploy", "policies", "spire", "tests")
        for path in (ROOT / directory).rglob(f"*{suffix}")
    ]
    return sorted(path for path in found if "_generated" not in path.parts)


def _code() -> list[Path]:
    return _sources(".py")


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def _imports(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports; `paymesh.x` with its second part."""
    for node in ast.walk(_tree(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            parts = name.split(".")
            yield ".".join(parts[:2]) if parts[0] == "paymesh" else parts[0]


@pytest.mark.parametrize("service", SERVICES)
def test_domain_knows_neither_grpc_nor_a_driver(service: str) -> None:
    """A service's domain is pure: no transport, no database, no network."""
    files = [p for p in _code() if p.parts[:2] == ("services", service) and "domain" in str(p)]
    assert files, f"{service} has no domain"
    forbidden = {"grpc", "psycopg", "psycopg_pool", "httpx", "asyncio", "opentelemetry", "socket"}
    generated = {f"paymesh.{name}" for name in SERVICES}
    for path in files:
        assert set(_imports(path)) & (forbidden | generated) == set(), path


@pytest.mark.parametrize("app", APPS)
def test_app_never_imports_another(app: str) -> None:
    """Services share the kit and the protos, never each other's code."""
    for path in _code():
        if path.parts[:2] == ("services", app):
            assert set(_imports(path)) & (set(APPS) - {app}) == set(), path


def test_kit_knows_no_service() -> None:
    """What is shared depends on nothing that shares it."""
    for path in _code():
        if path.parts[:2] == ("services", "meshkit"):
            assert set(_imports(path)) & set(APPS) == set(), path


def test_services_know_nothing_of_deployment() -> None:
    """A service runs wherever its sockets are; only protobuf code comes from `paymesh`."""
    own = {path.stem for path in (ROOT / "deploy" / "paymesh").iterdir()}
    for path in _code():
        if path.parts[0] == "services":
            assert set(_imports(path)) & {f"paymesh.{name}" for name in own} == set(), path


def test_renderer_and_checker_share_no_code() -> None:
    """The checker sees an error of the renderer's because it reads with its own eyes."""
    for path in _code():
        if path.parts[:3] == ("deploy", "paymesh", "checker"):
            ours = {name for name in _imports(path) if name.startswith("paymesh.")}
            assert ours <= {"paymesh.checker"}, path
        if path.parts[:3] == ("deploy", "paymesh", "render"):
            assert "paymesh.checker" not in set(_imports(path)), path


def _limit(path: Path) -> int:
    is_test = path.parts[0] == "tests" or path.stem.endswith("_test")
    return LONGEST_TEST_LINES if is_test else LONGEST_FILE_LINES


def test_files_are_short() -> None:
    """A file that is too long has a reason, and a reason has such a file."""
    sources = [
        *_code(),
        *(p for suffix in (".go", ".rego", ".sh", ".sql") for p in _sources(suffix)),
    ]
    long = {
        path.as_posix()
        for path in sources
        if len((ROOT / path).read_text(encoding="utf-8").splitlines()) > _limit(path)
    }
    assert long == set(LONGER_FILES)


def test_functions_are_short() -> None:
    """No function of the product has more than 60 lines."""
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path in _code()
        if path.parts[0] in ("services", "deploy")
        for node in ast.walk(_tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION_LINES
    ]
    assert long == []


def test_entry_points_are_short() -> None:
    """What starts a program is read in a minute."""
    for path in (p for p in _code() if p.name == "__main__.py"):
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        assert len(lines) <= LONGEST_ENTRY_POINT_LINES, path


def test_every_test_states_its_property() -> None:
    """Each test function says in a sentence what holds."""
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path in _code()
        if path.name.startswith("test_")
        for node in ast.walk(_tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []
