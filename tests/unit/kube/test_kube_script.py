"""deploy/test-k8s.sh takes away what it deployed, and nothing that was there before."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from paymesh.mesh import repository_root

_STUB = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$(basename "$0") $*" in
  "kubectl get namespaces"*) printf '%s' "$THERE" ;;
  "kubectl get namespace paymesh") exit 1 ;;
  $FAILS) exit 7 ;;
esac
"""


def _script(directory: Path, **variables: str) -> tuple[int, str, list[str]]:
    """Exit status, what it said, and what it called, with programs that only say yes."""
    (directory / "deploy").mkdir()
    script = directory / "deploy" / "test-k8s.sh"
    shutil.copy(repository_root() / "deploy" / "test-k8s.sh", script)
    (directory / ".venv" / "bin").mkdir(parents=True)
    (directory / "path").mkdir()
    for name in ("path/kubectl", ".venv/bin/python", ".venv/bin/paymesh"):
        (directory / name).write_text(_STUB, "ascii")
        (directory / name).chmod(0o755)
    calls = directory / "calls"
    calls.touch()
    environment = {
        "PATH": f"{directory / 'path'}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "THERE": "",
        "FAILS": "nothing",
        **variables,
    }
    done = subprocess.run(
        ["/usr/bin/env", "bash", str(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    called = calls.read_text("utf-8").splitlines()
    return done.returncode, done.stdout, [line for line in called if "kubectl" not in line]


_DEPLOY = "paymesh deploy --overlay kind --timeout 600"
_TESTS = "python -m pytest -q tests/k8s"
_UNDEPLOY = "python -m pytest -q tests/k8s/undeploy.py"
_AWAY = "paymesh undeploy --yes"


@pytest.mark.parametrize(
    ("fails", "status", "called"),
    [
        ("nothing", 0, [_DEPLOY, _TESTS, _UNDEPLOY]),
        ("paymesh deploy*", 7, [_DEPLOY, _AWAY]),
        (_TESTS, 7, [_DEPLOY, _TESTS, _UNDEPLOY]),
        (_UNDEPLOY, 1, [_DEPLOY, _TESTS, _UNDEPLOY, _AWAY]),
    ],
)
def test_whatever_fails_nothing_is_left(
    tmp_path: Path, fails: str, status: int, called: list[str]
) -> None:
    """Also half a deployment; the first failure is the status."""
    assert _script(tmp_path, FAILS=fails)[::2] == (status, called)


@pytest.mark.parametrize("fails", ["paymesh deploy*", _TESTS])
def test_what_failed_can_be_kept(tmp_path: Path, fails: str) -> None:
    """To be looked at."""
    status, _, called = _script(tmp_path, FAILS=fails, PAYMESH_TEST_KEEP="1")
    assert status == 7
    assert _AWAY not in called
    assert _UNDEPLOY not in called


def test_a_context_by_name_is_refused(tmp_path: Path) -> None:
    """Kubectl and the tests would go to another cluster than it names."""
    status, said, called = _script(tmp_path, KUBECONTEXT="production")
    assert (status, called) == (1, [])
    assert said == "error: test-k8s uses the current context: set KUBECONFIG\n"


def test_a_mesh_that_is_there_stays(tmp_path: Path) -> None:
    """Also when only data that somebody kept is left of it."""
    there = "namespace/paymesh-platform"
    status, said, called = _script(tmp_path, THERE=there)
    assert (status, called) == (1, [])
    assert "namespaces of a mesh" in said
