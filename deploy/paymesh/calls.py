"""gRPC calls by name with JSON messages, through the descriptors that policy and Envoy use too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import (
    descriptor,
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
)
from google.rpc import error_details_pb2, status_pb2

from paymesh.errors import ConfigError
from paymesh.mesh import repository_root

Metadata = Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came back. `body` is the reply's JSON when `code` is OK, else None."""

    code: str
    body: Any
    message: str
    reason: str | None
    decision_id: str | None
    details: Mapping[str, str]
    retry_after_seconds: float | None

    @property
    def ok(self) -> bool:
        """Whether the call was carried out."""
        return self.code == "OK"

    def as_json(self) -> dict[str, Any]:
        """For `-o json` and for people alike."""
        if self.ok:
            return {"status": "OK", "reply": self.body}
        shown = {
            "status": self.code,
            "reason": self.reason,
            "message": self.message,
            "decision_id": self.decision_id,
            "details": dict(self.details) or None,
            "retry_after_seconds": self.retry_after_seconds,
        }
        return {key: value for key, value in shown.items() if value is not None}


class Catalogue:
    """The RPCs of the descriptor set."""

    def __init__(self, descriptors: bytes) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)
        self._services = [
            f"{file.package}.{service.name}" for file in files.file for service in file.service
        ]

    @classmethod
    def load(cls, root: Path | None = None) -> Catalogue:
        """The committed descriptor set."""
        path = (root or repository_root()) / "policies" / "descriptors.binpb"
        return cls(path.read_bytes())

    def service(self, full_name: str) -> descriptor.ServiceDescriptor:
        """A service by its full name.

        Raises:
            KeyError: there is none.
        """
        return self._pool.FindServiceByName(full_name)

    def method(self, name: str) -> descriptor.MethodDescriptor:
        """The RPC that `SERVICE/METHOD` names: a full service name or an end of
        one that fits only one, such as `LedgerService/GetBalance` or `ledger/GetBalance`.

        Raises:
            ConfigError: no RPC or more than one is meant.
        """
        wanted, slash, method = name.strip("/").partition("/")
        found = [full for full in self._services if _means(full, wanted)]
        if slash and len(found) == 1:
            service = self._pool.FindServiceByName(found[0])
            if method in service.methods_by_name:
                return service.methods_by_name[method]
            raise ConfigError(
                f"{found[0]} has no method {method!r}; it has"
                f" {', '.join(sorted(service.methods_by_name))}"
            )
        raise ConfigError(
            f"{name!r} is not SERVICE/METHOD of one of {', '.join(sorted(self._services))}"
        )

    def send(
        self,
        channel: grpc.Channel,
        rpc: str,
        request: Mapping[str, Any] | None = None,
        *,
        metadata: Metadata = (),
        timeout_seconds: float = 15.0,
    ) -> Reply:
        """Makes one unary call of the RPC that `rpc` names, with a request as from JSON.

        Raises:
            ConfigError: as `method` and `invoke`.
        """
        return invoke(
            channel,
            self.method(rpc),
            json.dumps(request or {}),
            metadata=metadata,
            timeout_seconds=timeout_seconds,
        )


def _means(full: str, wanted: str) -> bool:
    if full == wanted or full.endswith(f".{wanted}"):
        return True
    # `ledger` and `bank-link` for the only service of paymesh.ledger.v1, paymesh.bank_link.v1.
    return full.startswith(f"paymesh.{wanted.replace('-', '_')}.v")


def invoke(
    channel: grpc.Channel,
    method: descriptor.MethodDescriptor,
    request_json: str,
    *,
    metadata: Metadata = (),
    timeout_seconds: float = 15.0,
) -> Reply:
    """Makes one unary call.

    Raises:
        ConfigError: `request_json` is not the method's request.
    """
    request_class = message_factory.GetMessageClass(method.input_type)
    reply_class = message_factory.GetMessageClass(method.output_type)
    try:
        request = json_format.Parse(request_json, request_class())
    except json_format.ParseError as error:
        raise ConfigError(f"not a {method.input_type.full_name}: {error}") from error
    call = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=reply_class.FromString,
    )
    try:
        reply = call(request, timeout=timeout_seconds, metadata=tuple(metadata))
    except grpc.RpcError as error:
        return refusal(error)
    body = json.loads(json_format.MessageToJson(reply, preserving_proto_field_name=True))
    return Reply("OK", body, "", None, None, {}, None)


def refusal(error: Any) -> Reply:
    """The machine-readable part of a failed call: ErrorInfo, or else Paymesh's headers.

    Args:
        error: a grpc.RpcError that is a grpc.Call too, as every one from a channel is.
    """
    code = error.code().name
    metadata: dict[str, Any] = {}
    for source in (error.initial_metadata(), error.trailing_metadata()):
        metadata.update((key, value) for key, value in source or ())
    reason = metadata.get("x-paymesh-reason")
    details: dict[str, str] = {}
    retry: float | None = None
    raw = metadata.get("grpc-status-details-bin")
    if isinstance(raw, bytes):
        for detail in status_pb2.Status.FromString(raw).details:
            info, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason, details = info.reason, dict(info.metadata)
            elif detail.Unpack(delay):
                retry = delay.retry_delay.seconds + delay.retry_delay.nanos / 1e9
    decision = details.pop("decision_id", None) or metadata.get("x-paymesh-decision-id")
    return Reply(code, None, error.details() or "", reason, decision, details, retry)
