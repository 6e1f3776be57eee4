"""The commands in the documents are run, and the links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.world import World
from paymesh.mesh import repository_root

_ROOT = repository_root()
_DOCUMENTS = sorted(
    path
    for path in (_ROOT / "README.md", *_ROOT.glob("*/README.md"), *(_ROOT / "docs").rglob("*.md"))
    if ".venv" not in path.parts
)
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")

# These bring up, stop or test the whole mesh; other tests do that. What is checked is that
# make knows them.
_WHOLE_MESH = re.compile(r"^(make [a-z0-9-]+|bash \.ci/run)\b")

_ELSEWHERE = {
    "docs/adding-a-service.md": "test_adding_a_service.py carries it out in a copy",
    "docs/kubernetes.md": "tests/k8s carries it out in a cluster",
}


def _commands(path: Path) -> list[str]:
    """The commands of a document's shell blocks, comments and continuation lines resolved."""
    found = []
    for block in _BLOCK.findall(path.read_text("utf-8")):
        script = block.replace("\\\n", " ")
        kept = [re.sub(r"\s+#.*$", "", line) for line in script.splitlines()]
        found.append("\n".join(line for line in kept if line.strip()))
    return found


def _cases() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(_ROOT)), block) for path in _DOCUMENTS for block in _commands(path)
    ]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("document", "block"), _cases())
def test_the_commands_of_a_document_work(world: World, document: str, block: str) -> None:
    """Every shell block runs to its end against the mesh, in the repository's root."""
    if document in _ELSEWHERE:
        pytest.skip(_ELSEWHERE[document])
    lines = []
    for line in block.splitlines():
        if _WHOLE_MESH.match(line.strip()):
            _make_knows(line.split()[1])
        else:
            lines.append(line)
    script = "\n".join(lines).replace(":18443", f":{world.mesh.workloads['gateway'].port}")
    if not script.strip():
        return
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", _with_this_interpreter(script)],
        cwd=_ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


def _make_knows(target: str) -> None:
    if target.startswith("."):
        return
    done = subprocess.run(
        ["/usr/bin/env", "make", "--dry-run", target],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _with_this_interpreter(script: str) -> str:
    """`.venv/bin/paymesh` of whatever environment the tests themselves run in."""
    command = f"{sys.executable} -c 'from paymesh.cli.main import app; app()'"
    return script.replace(".venv/bin/paymesh", command)


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: str(path.relative_to(_ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document leads to a file or directory of the repository."""
    for link in _LINK.findall(document.read_text("utf-8")):
        if "://" not in link:
            assert (document.parent / link).exists(), link
