"""The commands of the page on Kubernetes, run in the cluster that the tests have."""

from __future__ import annotations

import re
import subprocess

import pytest

from k8s.world import Cluster
from paymesh.mesh import repository_root

_PAGES = ("docs/kubernetes.md", "deploy/k8s/README.md")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"\s+#.*$")


def _lines() -> list[str]:
    text = "".join((repository_root() / page).read_text("utf-8") for page in _PAGES)
    lines = (line for block in _BLOCK.findall(text) for line in block.splitlines())
    return sorted({_COMMENT.sub("", f" {line}").strip() for line in lines} - {""})


@pytest.mark.timeout(200)
@pytest.mark.parametrize("line", _lines())
def test_a_command_of_the_page_works(cluster: Cluster, line: str) -> None:
    """`paymesh` commands are run against the mesh; make and kubectl must know the others,
    which build, deploy or take away the whole of it.
    """
    words = line.split()
    if words[0] == ".venv/bin/paymesh":
        done = cluster.paymesh(*words[1:])
        assert done.returncode == 0, done.stdout + done.stderr
    elif words[0] == "make":
        known = subprocess.run(
            ["/usr/bin/env", "make", "--dry-run", *words[1:]],
            cwd=repository_root(),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert known.returncode == 0, known.stderr
    elif words[:2] == ["kubectl", "logs"]:
        assert '"decision_id"' in cluster.kubectl(*words[1:])
    else:
        assert words[:2] == ["kubectl", "apply"], f"no test knows {line!r}"
        what, path = words[-2], repository_root() / words[-1]
        if what == "-k":
            cluster.kubectl("kustomize", str(path))
        else:
            cluster.kubectl("apply", "--dry-run=client", what, str(path))
