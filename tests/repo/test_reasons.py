"""Error reasons are an interface: what the protos name is what the code can answer."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2

from paymesh.mesh import Workload, load_mesh, repository_root

ROOT = repository_root()
_REASON = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_STATUSES = {status.name for status in grpc.StatusCode}
_METHOD_PATH_LENGTH = 4

SERVICES = load_mesh(ROOT, port_offset=0).services()


def _in_proto(rpc_service: str) -> set[str]:
    """Reasons in the comments of a service's RPCs."""
    content = (ROOT / "policies" / "descriptors.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(content).file
    package = rpc_service.rpartition(".")[0]
    comments = " ".join(
        location.leading_comments
        for file in files
        if file.package == package
        for location in file.source_code_info.location
        if location.path[:1] == [6] and len(location.path) == _METHOD_PATH_LENGTH
    )
    return set(_REASON.findall(comments)) - _STATUSES


def _in_code(directory: Path) -> set[str]:
    """Class attributes `reason = "…"` below a directory."""
    reasons = set()
    for path in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                reasons |= {value for item in node.body for value in _assigned(item)}
    return reasons


def _assigned(item: ast.stmt) -> list[str]:
    if isinstance(item, ast.Assign):
        targets, value = item.targets, item.value
    elif isinstance(item, ast.AnnAssign) and item.value is not None:
        targets, value = [item.target], item.value
    else:
        return []
    named = any(isinstance(t, ast.Name) and t.id == "reason" for t in targets)
    if not named or not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return []
    return [value.value]


def _in_kit() -> set[str]:
    """Reasons anywhere in the shared kit, which also maps exceptions to reasons by table."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "services/meshkit").rglob("*.py")]
    return {reason for text in texts for reason in re.findall(r'"([A-Z][A-Z0-9_]+)"', text)}


def _in_policy() -> set[str]:
    """Reasons that the policies answer with."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "policies").rglob("*.rego")]
    return {reason for text in texts for reason in re.findall(r'"([A-Z][A-Z0-9_]+)"', text)}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_reasons_of_the_code_are_documented(service: Workload) -> None:
    """A service answers with no reason that its proto does not name."""
    code = _in_code(ROOT / "services" / service.module)
    assert code - _in_proto(service.rpc_service) == set()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_documented_reasons_exist(service: Workload) -> None:
    """A proto promises no reason that neither the service, the kit nor policy can give."""
    known = _in_code(ROOT / "services" / service.module) | _in_kit() | _in_policy()
    assert _in_proto(service.rpc_service) - known == set()
