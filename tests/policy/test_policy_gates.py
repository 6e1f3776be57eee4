"""The gates of deploy/policy-lint.sh and deploy/policy-test.sh can fail."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from paymesh import binaries
from paymesh.paths import default_paths

from . import rego_coverage

AMOUNTS = "policies/paymesh/authz/amounts.rego"
CONDITIONS_TEST = "policies/paymesh/authz/conditions_test.rego"
TRAPS = {
    "missing-default": 'allow if input.caller == "a"',
    "not-on-body": 'a if not input.parsed_body.kind == "CLEARING"',
    "no-delimiter": 'a if startswith(input.path, "/admin")',
    "unanchored-regex": "a if regex.match(`admin`, input.path)",
    "not-equal-in-loop": 'a if { some role in input.roles; role != "guest" }',
    "spiffe-prefix": 'a if startswith(input.caller, "spiffe://mesh.internal/")',
    "nondeterministic": 'a if http.send({"method": "GET", "url": "https://a"}).body.a',
}


@pytest.fixture(scope="module")
def ours() -> Path:
    """The program of our own: an official `opa` has neither traps nor mutants."""
    return binaries.built(default_paths(), binaries.PDP)


def run(checkout: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in the copy of the checkout."""
    return subprocess.run(
        command, cwd=checkout, capture_output=True, text=True, check=False, timeout=100
    )


def without_amounts(checkout: Path) -> None:
    """Removes the tests of amounts from the copy, and nothing else."""
    path = checkout / CONDITIONS_TEST
    text = path.read_text()
    kept = [
        part for part in text.split("\n\n") if not part.startswith(("test_amounts", "test_legs"))
    ]
    assert len(kept) < len(text.split("\n\n"))
    path.write_text("\n\n".join(kept))


@pytest.mark.parametrize("rule", TRAPS)
def test_a_trap_is_named_with_its_place(ours: Path, checkout: Path, rule: str) -> None:
    """Each trap in a copy of the policies fails the lint, with file, line, column and rule."""
    assert run(checkout, ours, "traps", "policies/paymesh").returncode == 0
    path = checkout / "policies/paymesh/authz/more.rego"
    path.write_text(f"package paymesh.authz.more\n\n{TRAPS[rule]}\n")
    done = run(checkout, ours, "traps", "policies/paymesh")
    assert done.returncode == 1
    place, _, problem = done.stdout.strip().partition(": ")
    assert place.startswith("policies/paymesh/authz/more.rego:3:")
    assert problem.startswith(f"{rule}: ")
    assert done.stdout.count("\n") == 1


def test_a_test_that_one_of_its_cases_passes_is_a_trap(ours: Path, checkout: Path) -> None:
    """`some` in a test, where `every` is meant, fails the lint."""
    path = checkout / CONDITIONS_TEST
    path.write_text(path.read_text() + "\ntest_any if {\n\tsome x in [1, 2]\n\tx == 2\n}\n")
    done = run(checkout, ours, "traps", "policies/paymesh")
    assert done.returncode == 1
    assert "conditions_test.rego" in done.stdout
    assert "loop-in-test" in done.stdout


def test_a_line_that_no_test_reaches_is_named(ours: Path, checkout: Path) -> None:
    """Without the tests of amounts, coverage is less than whole and says where."""
    without_amounts(checkout)
    flags = ("--timeout", "60s", "--coverage", "--format", "json")
    report = run(checkout, ours, "test", *flags, "policies")
    assert report.returncode == 0, report.stdout
    done = subprocess.run(
        [sys.executable, rego_coverage.__file__],
        input=report.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{AMOUNTS}:" in done.stderr
    assert all("no test reaches this line" in line for line in done.stderr.splitlines())


def test_mutants_that_no_test_notices_fail_the_gate(ours: Path, checkout: Path) -> None:
    """Without the tests of amounts, their rules break unnoticed, and each break is listed."""
    judged = run(checkout, ours, "mutate", "policies", "--file", AMOUNTS)
    assert judged.returncode == 0, judged.stdout
    without_amounts(checkout)
    done = run(checkout, ours, "mutate", "policies", "--file", AMOUNTS)
    assert done.returncode == 1
    place = (
        r"^policies/paymesh/authz/amounts\.rego:\d+: survived \(widen pattern in _is_minor_units"
    )
    assert re.search(place, done.stdout, re.MULTILINE)
    assert "- regex.match(`^-?[1-9][0-9]{0,18}$`, money.minorUnits)" in done.stdout
    assert "+ regex.match(`^-?[1-9][0-9]{0,19}$`, money.minorUnits)" in done.stdout
