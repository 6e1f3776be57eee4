"""The RPCs in a descriptor set."""

from __future__ import annotations

import dataclasses

from google.protobuf import descriptor_pb2


@dataclasses.dataclass(frozen=True)
class Rpc:
    """One method as it is called on the wire."""

    service: str
    method: str
    client_streaming: bool

    @property
    def path(self) -> str:
        """`/package.Service/Method`."""
        return f"/{self.service}/{self.method}"


def rpcs_of(descriptors: bytes) -> tuple[Rpc, ...]:
    """All RPCs of a serialised `FileDescriptorSet`, in order of their paths."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    found = [
        Rpc(f"{file.package}.{service.name}", method.name, method.client_streaming)
        for file in files.file
        for service in file.service
        for method in service.method
    ]
    return tuple(sorted(found, key=lambda rpc: rpc.path))
