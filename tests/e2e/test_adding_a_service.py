"""docs/adding-a-service.md, carried out word for word in a copy of the repository."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.checkout import copied
from e2e.recipe import carry_out, paymesh, python

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
        carry_out(root)
        yield root


@pytest.mark.timeout(300)
def test_the_recipe_makes_a_service_that_only_its_callers_reach(copy: Path) -> None:
    """Rendered, checked and brought up, the service answers its granted caller and nobody
    else; its manifests hold what all others do.
    """
    rendered = paymesh(copy, "render")
    assert rendered.returncode == 0, rendered.stderr
    for module in ("paymesh.policy.coverage", "paymesh.checker"):
        done = python(copy, "-m", module)
        assert done.returncode == 0, (module, done.stdout, done.stderr)
    manifests = python(copy, "-c", _MANIFESTS)
    assert manifests.returncode == 0, manifests.stdout + manifests.stderr
    home = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    home.chmod(0o755)
    own = {"PAYMESH_HOME": str(home), "PAYMESH_PORT_OFFSET": "4000"}
    try:
        up = paymesh(copy, "up", **own)
        assert up.returncode == 0, up.stderr
        granted = paymesh(copy, "call", "rates/GetRate", _CALL, "--as", "payments", **own)
        assert granted.returncode == 0, granted.stdout + granted.stderr
        assert '"1.0842"' in granted.stdout
        for stranger in ("bank-link", "ledger", "statements"):
            refused = paymesh(copy, "call", "rates/GetRate", _CALL, "--as", stranger, **own)
            assert refused.returncode == 1, (stranger, refused.stdout)
    finally:
        paymesh(copy, "down", **own)
        shutil.rmtree(home, ignore_errors=True)


def test_a_forgotten_grant_fails_the_build(copy: Path) -> None:
    """Without the grant, the check that every RPC is granted or closed names the RPC."""
    path = copy / "policies" / "paymesh" / "grants" / "data.yaml"
    original = path.read_text("utf-8")
    without = re.sub(r"  - id: payments-get-rate\n(    .*\n)+", "", original)
    assert without != original
    path.write_text(without, encoding="utf-8")
    try:
        paymesh(copy, "render")
        done = python(copy, "-m", "paymesh.policy.coverage")
        assert done.returncode != 0
        assert "/paymesh.rates.v1.RatesService/GetRate" in done.stdout + done.stderr
    finally:
        path.write_text(original, encoding="utf-8")
