"""docs/adding-a-service.md, carried out word for word in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.checkout import copied

_BLOCK = re.compile(
    r"<!-- (?P<what>file|insert): (?P<path>\S+)(?: after: (?P<after>.+?))? -->\n"
    r"```\w+\n(?P<text>.*?)```\n",
    re.DOTALL,
)
_CALL = '{"base_currency_code": "EUR", "quote_currency_code": "USD"}'

_MANIFESTS = """
from pathlib import Path
import yaml
from paymesh.checker import kubernetes
from paymesh.checker.facts import read_facts
from paymesh.kube.kustomize import build
root = Path.cwd()
overlay = root / "deploy/k8s/overlays/kind"
listed = kubernetes.components(yaml.safe_load((overlay / "kustomization.yaml").read_text()))
objects = build(overlay)
found = kubernetes.findings("kind", read_facts(root), listed, objects)
print(*found, sep="\\n")
names = {value["metadata"]["name"] for value in objects if value["kind"] == "Deployment"}
raise SystemExit(bool(found) or "rates" not in names)
"""


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    """The repository with the page carried out, up to and with `make render`."""
    with copied() as root:
        page = root / "docs" / "adding-a-service.md"
        blocks = list(_BLOCK.finditer(page.read_text("utf-8")))
        assert len(blocks) >= 7
        for block in blocks:
            _carry_out(root, block)
        yield root


def _carry_out(root: Path, block: re.Match[str]) -> None:
    path = root / block["path"]
    if block["what"] == "file":
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
        return
    lines = path.read_text("utf-8").splitlines(keepends=True)
    (at,) = [number for number, line in enumerate(lines) if line.rstrip("\n") == block["after"]]
    path.write_text("".join([*lines[: at + 1], block["text"], *lines[at + 1 :]]), encoding="utf-8")


def _environment(root: Path, **more: str) -> dict[str, str]:
    roots = [root / "services", root / "services/_generated", root / "deploy"]
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PAYMESH_") or key == "PAYMESH_CACHE"
    }
    return {
        **kept,
        "PAYMESH_ROOT": str(root),
        "PYTHONPATH": os.pathsep.join(map(str, roots)),
        **more,
    }


def _paymesh(root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    code = "from paymesh.cli.main import app; app()"
    return _python(root, "-c", code, *arguments, **more)


def _python(root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=_environment(root, **more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.timeout(300)
def test_the_recipe_makes_a_service_that_only_its_callers_reach(copy: Path) -> None:
    """Rendered, checked and brought up, the service answers its granted caller and nobody
    else; its manifests hold what all others do.
    """
    rendered = _paymesh(copy, "render")
    assert rendered.returncode == 0, rendered.stderr
    for module in ("paymesh.policy.coverage", "paymesh.checker"):
        done = _python(copy, "-m", module)
        assert done.returncode == 0, (module, done.stdout, done.stderr)
    manifests = _python(copy, "-c", _MANIFESTS)
    assert manifests.returncode == 0, manifests.stdout + manifests.stderr
    home = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    home.chmod(0o755)
    own = {"PAYMESH_HOME": str(home), "PAYMESH_PORT_OFFSET": "4000"}
    try:
        up = _paymesh(copy, "up", **own)
        assert up.returncode == 0, up.stderr
        granted = _paymesh(copy, "call", "rates/GetRate", _CALL, "--as", "payments", **own)
        assert granted.returncode == 0, granted.stdout + granted.stderr
        assert '"1.0842"' in granted.stdout
        for stranger in ("bank-link", "ledger", "statements"):
            refused = _paymesh(copy, "call", "rates/GetRate", _CALL, "--as", stranger, **own)
            assert refused.returncode == 1, (stranger, refused.stdout)
    finally:
        _paymesh(copy, "down", **own)
        shutil.rmtree(home, ignore_errors=True)


def test_a_forgotten_grant_fails_the_build(copy: Path) -> None:
    """Without the grant, the check that every RPC is granted or closed names the RPC."""
    path = copy / "policies" / "paymesh" / "grants" / "data.yaml"
    original = path.read_text("utf-8")
    without = re.sub(r"  - id: payments-get-rate\n(    .*\n)+", "", original)
    assert without != original
    path.write_text(without, encoding="utf-8")
    try:
        _paymesh(copy, "render")
        done = _python(copy, "-m", "paymesh.policy.coverage")
        assert done.returncode != 0
        assert "/paymesh.rates.v1.RatesService/GetRate" in done.stdout + done.stderr
    finally:
        path.write_text(original, encoding="utf-8")
