"""The protos follow buf's STANDARD rules, read from the descriptors that are served."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from paymesh.mesh import repository_root

ROOT = repository_root()
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*")

Descriptor = descriptor_pb2.FileDescriptorProto


def _files() -> list[Descriptor]:
    content = (ROOT / "policies" / "descriptors.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(content).file
    return [file for file in files if file.package.startswith("paymesh.")]


FILES = _files()
by_name = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def _commented(file: Descriptor) -> set[tuple[int, ...]]:
    return {
        tuple(location.path)
        for location in file.source_code_info.location
        if location.leading_comments.strip() or location.trailing_comments.strip()
    }


def _elements(file: Descriptor) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and path (descriptor.proto, SourceCodeInfo) of everything that is to be explained."""
    for i, service in enumerate(file.service):
        yield service.name, (6, i)
        for j, method in enumerate(service.method):
            yield f"{service.name}.{method.name}", (6, i, 2, j)
    for i, message in enumerate(file.message_type):
        yield message.name, (4, i)
        for j, field in enumerate(message.field):
            yield f"{message.name}.{field.name}", (4, i, 2, j)
        assert not message.nested_type, "nested messages would go unseen here"
    for i, enum in enumerate(file.enum_type):
        yield enum.name, (5, i)
        for j, value in enumerate(enum.value):
            yield value.name, (5, i, 2, j)


def test_every_proto_file_is_served() -> None:
    """The descriptors hold every file of protos/ and no other of ours."""
    assert {file.name for file in FILES} == {
        path.relative_to(ROOT / "protos").as_posix() for path in (ROOT / "protos").rglob("*.proto")
    }


@by_name
def test_package_is_directory_and_version(file: Descriptor) -> None:
    """A package's name is its directory, and ends with its version."""
    assert file.package == ".".join(Path(file.name).parent.parts)
    assert re.fullmatch(r"paymesh\.[a-z_]+\.v[1-9][0-9]*", file.package)
    assert file.syntax == "proto3"


@by_name
def test_everything_is_explained(file: Descriptor) -> None:
    """Every service, RPC, message, field, enum and value has a comment."""
    explained = _commented(file)
    assert [name for name, path in _elements(file) if path not in explained] == []


@by_name
def test_requests_and_responses_belong_to_one_rpc(file: Descriptor) -> None:
    """RPC `Do` takes `DoRequest` and returns `DoResponse`, and no other RPC does."""
    package = f".{file.package}."
    types: Counter[str] = Counter()
    for service in file.service:
        assert service.name.endswith("Service")
        for method in service.method:
            assert _PASCAL.fullmatch(method.name)
            assert method.input_type == f"{package}{method.name}Request"
            assert method.output_type == f"{package}{method.name}Response"
            types.update((method.input_type, method.output_type))
    assert all(count == 1 for count in types.values())


@by_name
def test_no_rpc_streams_requests(file: Descriptor) -> None:
    """Policy reads the whole message, so an RPC has one."""
    assert [m.name for s in file.service for m in s.method if m.client_streaming] == []


@by_name
def test_enums_begin_unspecified(file: Descriptor) -> None:
    """An enum's values bear its name, and zero means that nobody set it."""
    for enum in file.enum_type:
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        assert enum.value[0].number == 0
        assert enum.value[0].name == f"{prefix}UNSPECIFIED"
        assert [v.name for v in enum.value if not v.name.startswith(prefix)] == []


@by_name
def test_names_are_cased(file: Descriptor) -> None:
    """Messages are PascalCase, fields lower_snake_case, repeated ones without `_list`."""
    for message in file.message_type:
        assert _PASCAL.fullmatch(message.name)
        for field in message.field:
            assert _SNAKE.fullmatch(field.name), field.name
            assert not field.name.endswith("_list")


@by_name
def test_messages_are_used(file: Descriptor) -> None:
    """No message, but those that other packages use, is left lying about."""
    if not file.service:
        return
    package = f".{file.package}."
    used = {m.input_type for s in file.service for m in s.method}
    used |= {m.output_type for s in file.service for m in s.method}
    used |= {f.type_name for m in file.message_type for f in m.field}
    names = {package + m.name for m in file.message_type} | {
        package + e.name for e in file.enum_type
    }
    assert names - used == set()
