"""The computed attack graph shares no code with what it is compared with."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

_SOURCES = Path(__file__).resolve().parents[2] / "deploy" / "paymesh"
_COMPUTED = _SOURCES / "attack" / "computed"
# What probes, what makes the arms, what writes the configuration, and what checks it.
_OTHERS = ("paymesh.attack", "paymesh.render", "paymesh.checker", "paymesh.runtime")
_OWN = ("paymesh.attack.computed", "paymesh.attack.model")


def _is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _is_forbidden(module: str) -> bool:
    return any(_is_below(module, package) for package in _OTHERS) and not any(
        _is_below(module, package) for package in _OWN
    )


def _imports(source: str) -> set[str]:
    """Every module that is named in an import, and what is taken from it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    # `from paymesh.attack import model` names the package on the way.
    return found - {"paymesh.attack"}


def _file_of(module: str) -> Path | None:
    path = _SOURCES.joinpath(*module.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if module.startswith("paymesh.") and file.is_file():
            return file
    return None


def test_the_computed_graph_imports_nothing_of_what_it_is_compared_with() -> None:
    """Neither the package nor anything that it imports, directly or not."""
    waiting = sorted(_COMPUTED.rglob("*.py"))
    assert waiting
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        for module in _imports(file.read_text("utf-8")):
            assert not _is_forbidden(module), f"{file.relative_to(_SOURCES)} imports {module}"
            source = _file_of(module)
            if source is not None and source not in seen:
                waiting.append(source)
    assert _SOURCES / "policy" / "engine.py" in seen


@pytest.mark.parametrize(
    "line",
    [
        "import paymesh.attack.probe",
        "from paymesh.attack import arms",
        "from paymesh.attack.positions import run_at",
        "from paymesh.attack.arms.build import build",
        "def f():\n    from paymesh import render",
        "from paymesh.checker import walk",
    ],
)
def test_an_import_that_must_not_be_is_seen(line: str) -> None:
    """Wherever and however it is written."""
    assert any(_is_forbidden(module) for module in _imports(line))


def test_the_terms_are_shared() -> None:
    """Which states, targets and cells there are stands in one module."""
    for line in ("from paymesh.attack import model", "from paymesh.attack.model import cells"):
        assert not any(_is_forbidden(module) for module in _imports(line))
