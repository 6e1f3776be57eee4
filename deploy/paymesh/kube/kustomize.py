"""A kustomization's objects, by kubectl or kustomize as they stand on PATH, or else by a
kustomize of our own building.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from paymesh import binaries
from paymesh.errors import SetupError
from paymesh.kube.objects import Object
from paymesh.paths import default_paths
from paymesh.setup import builds

_OLDEST_KUBECTL = (1, 27)
_TIMEOUT_SECONDS = 60
_VERSION = re.compile(r"[Cc]lient Version: v(\d+)\.(\d+)")


def build(directory: Path) -> list[Object]:
    """Every object of a kustomization, in its order.

    Raises:
        SetupError: no program is there and none can be built, or the kustomization is
            refused; the text is kustomize's own.
    """
    if not (directory / "kustomization.yaml").is_file():
        raise SetupError(f"{directory} has no kustomization.yaml")
    text = _run([*_program(), str(directory)])
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = yaml.load_all(text, loader)
    return [document for document in documents if document]


def _program() -> list[str]:
    kubectl = shutil.which("kubectl")
    if kubectl is not None:
        found = _VERSION.search(_run([kubectl, "version", "--client"]))
        if found is None or (int(found[1]), int(found[2])) >= _OLDEST_KUBECTL:
            return [kubectl, "kustomize"]
    kustomize = shutil.which("kustomize")
    if kustomize is not None:
        return [kustomize, "build"]
    return [str(_built()), "build"]


def _built() -> Path:
    paths = default_paths()
    if not builds.is_built(paths, builds.KUSTOMIZE):
        oldest = ".".join(str(part) for part in _OLDEST_KUBECTL)
        sys.stderr.write(
            f"neither kubectl {oldest} or later nor kustomize is on PATH:"
            " building kustomize, a minute, once\n"
        )
        builds.run(paths, builds.KUSTOMIZE, lambda _done, _total: None)
    return binaries.built(paths, binaries.KUSTOMIZE)


def _run(command: list[str]) -> str:
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{name} did not answer in {_TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise SetupError(f"{name} refused {command[-1]}: {said}")
    return done.stdout
