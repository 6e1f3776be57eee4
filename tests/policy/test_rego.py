"""The Rego as text. Its own tests and their coverage: deploy/policy-test.sh."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from paymesh.mesh import repository_root

POLICIES = repository_root() / "policies"
PACKAGES = [POLICIES / "paymesh", POLICIES / "system"]
# The default of 5 s for each test is short on a busy machine.
TEST = ("test", "--timeout", "60s")
RULES = sorted(path for package in PACKAGES for path in package.rglob("*.rego"))


def test_the_rego_tests_can_fail(pdp: Path, checkout: Path) -> None:
    """A rule that is broken on purpose is noticed, so a green run means something."""
    path = checkout / "policies/paymesh/authz/amounts.rego"
    path.write_text(path.read_text().replace("minor_units > 0", "minor_units != 0"))
    done = subprocess.run(
        [pdp, *TEST, checkout / "policies"], capture_output=True, check=False, timeout=100
    )
    assert done.returncode == 2
    assert b"FAIL" in done.stdout


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.relative_to(POLICIES).as_posix())
def test_every_rule_file_has_its_tests_beside_it(path: Path) -> None:
    """A package without a test file is not reviewed."""
    assert list(path.parent.glob("*_test.rego"))


def test_the_readme_lists_every_reason_code(pdp: Path) -> None:
    """Code and HTTP status in policies/README.md are those of reasons.rego, all of them."""
    rules = POLICIES / "paymesh/authz/reasons.rego"
    question = ("--format", "raw", "--data", rules, "data.paymesh.authz.reasons")
    answer = subprocess.run([pdp, "eval", *question], capture_output=True, check=True).stdout
    reasons = {code: str(reason["http_status"]) for code, reason in json.loads(answer).items()}
    readme = (POLICIES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", readme, re.MULTILINE)
    assert dict(rows) == reasons
    assert len(rows) == len(reasons)
