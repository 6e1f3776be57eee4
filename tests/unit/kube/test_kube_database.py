"""What `check --kube` runs in a service's pod to try its database role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paymesh.checks.kube.database import PROGRAM


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("host=/nowhere user=none password=a hunter2", "no connection string"),
        ("postgresql://none:a@hunter2@nowhere/none", "no connection string"),
        ("host=/nowhere user=none password=hunter2", "/nowhere"),
    ],
)
def test_no_part_of_a_password_leaves_the_pod(tmp_path: Path, text: str, says: str) -> None:
    """Malformed or not, what is wrong is said and nothing of the password."""
    (tmp_path / "dsn").write_text(text)
    asked = {"file": str(tmp_path / "dsn"), "sql": "", "privileges": [], "others": ["other"]}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)],
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert says in json.loads(done.stdout)["error"]
    assert "hunter2" not in done.stdout + done.stderr
