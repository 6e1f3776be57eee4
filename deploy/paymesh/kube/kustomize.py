"""A kustomization's objects, by kubectl or kustomize as they stand on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import yaml

from paymesh.errors import SetupError
from paymesh.kube.objects import Object

_OLDEST_KUBECTL = (1, 27)
_TIMEOUT_SECONDS = 60
_VERSION = re.compile(r"[Cc]lient Version: v(\d+)\.(\d+)")


def build(directory: Path) -> list[Object]:
    """Every object of a kustomization, in its order.

    Raises:
        SetupError: neither program is there, or the kustomization is refused; the text
            is kustomize's own.
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
    oldest = ".".join(str(part) for part in _OLDEST_KUBECTL)
    advice = f"install kubectl {oldest} or later, or kustomize 5"
    raise SetupError(
        f"{kubectl} is older than {oldest}: {advice}"
        if kubectl
        else f"neither kubectl nor kustomize is on PATH: {advice}"
    )


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
