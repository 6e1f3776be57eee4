"""What Envoy answers by itself, in the form of every other error of the mesh.

gRPC callers get a status, `x-paymesh-reason` and `grpc-status-details-bin`
with a google.rpc.ErrorInfo; JSON callers at the gateway get the same
google.rpc.Status as the body.
"""

from __future__ import annotations

import base64
import dataclasses
from http import HTTPStatus
from typing import Any

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from paymesh.render.blocks import Block, header


@dataclasses.dataclass(frozen=True)
class Reply:
    """A reason with its one gRPC status, its HTTP status for JSON and a sentence."""

    reason: str
    code: int
    http_status: HTTPStatus
    sentence: str

    @property
    def message(self) -> str:
        """The text of the status, as the policy decision point writes it."""
        return f"{self.reason}: {self.sentence}"

    def details(self, domain: str) -> str:
        """`grpc-status-details-bin`: base64 of a google.rpc.Status."""
        info = any_pb2.Any()
        info.Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=domain))
        status = status_pb2.Status(code=self.code, message=self.message, details=[info])
        return base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")

    def headers(self, domain: str) -> list[Block]:
        """Headers of the answer to a gRPC caller. Over HTTP, gRPC's are ignored."""
        return [
            header("x-paymesh-reason", self.reason),
            header("grpc-status", str(self.code)),
            header("grpc-status-details-bin", self.details(domain)),
        ]

    def json(self, domain: str) -> Block:
        """The body of the answer to a JSON caller."""
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.reason,
            "domain": domain,
        }
        return {"code": self.code, "message": self.message, "details": [info]}


POLICY_ENGINE_UNAVAILABLE = Reply(
    "POLICY_ENGINE_UNAVAILABLE",
    code_pb2.UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE,
    "the policy engine did not answer in time, so nothing was decided and nothing was done",
)
SERVICE_UNAVAILABLE = Reply(
    "SERVICE_UNAVAILABLE",
    code_pb2.UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE,
    "the service cannot be reached",
)
OVERLOADED = Reply(
    "OVERLOADED",
    code_pb2.UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too much at once; try again later",
)
RATE_LIMITED = Reply(
    "OVERLOADED",
    code_pb2.UNAVAILABLE,
    HTTPStatus.TOO_MANY_REQUESTS,
    "too much at once; try again later",
)
TIMED_OUT = Reply(
    "TIMED_OUT",
    code_pb2.DEADLINE_EXCEEDED,
    HTTPStatus.GATEWAY_TIMEOUT,
    "the call took longer than it may",
)
MESSAGE_TOO_LARGE = Reply(
    "MESSAGE_TOO_LARGE",
    code_pb2.RESOURCE_EXHAUSTED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "the message is larger than is accepted",
)
MALFORMED_REQUEST = Reply(
    "MALFORMED_REQUEST",
    code_pb2.INVALID_ARGUMENT,
    HTTPStatus.BAD_REQUEST,
    "the request is not well formed",
)
COMPRESSION_REFUSED = Reply(
    "COMPRESSION_REFUSED",
    code_pb2.UNIMPLEMENTED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "policy cannot read compressed messages; send them as they are",
)
UNKNOWN_RPC = Reply(
    "UNKNOWN_RPC",
    code_pb2.UNIMPLEMENTED,
    HTTPStatus.NOT_FOUND,
    "there is no such RPC here",
)
NO_ROUTE = Reply(
    "NO_ROUTE",
    code_pb2.PERMISSION_DENIED,
    HTTPStatus.FORBIDDEN,
    "no grant leads from this workload to what was called",
)
USER_TOKEN_MISSING = Reply(
    "USER_TOKEN_MISSING",
    code_pb2.UNAUTHENTICATED,
    HTTPStatus.UNAUTHORIZED,
    "send the user's token as `authorization: Bearer <token>`",
)
USER_TOKEN_EXPIRED = Reply(
    "USER_TOKEN_EXPIRED",
    code_pb2.UNAUTHENTICATED,
    HTTPStatus.UNAUTHORIZED,
    "the user's token has expired",
)
USER_TOKEN_INVALID = Reply(
    "USER_TOKEN_INVALID",
    code_pb2.UNAUTHENTICATED,
    HTTPStatus.UNAUTHORIZED,
    "the user's token was not issued for this mesh",
)


def _flags(*flags: str) -> Block:
    return {"response_flag_filter": {"flags": list(flags)}}


def _status(status: int) -> Block:
    return {
        "status_code_filter": {
            "comparison": {
                "op": "EQ",
                "value": {"default_value": status, "runtime_key": "unused.local_reply"},
            }
        }
    }


def _details_contain(text: str) -> Block:
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": f"response.code_details.contains('{text}')",
            },
        }
    }


def _all(*filters: Block) -> Block:
    return {"and_filter": {"filters": list(filters)}}


# First match wins. The flags are Envoy's response flags: UAEX the external
# authorisation, UO a circuit breaker, OM the overload manager, RL a rate
# limit, UT/SI/DT time, UF/UH/UC/UR/UPE/LR/NC the upstream.
_EVERYWHERE: tuple[tuple[Block, Reply], ...] = (
    (_status(413), MESSAGE_TOO_LARGE),
    (_flags("UO", "OM"), OVERLOADED),
    (_flags("RL"), RATE_LIMITED),
    (_flags("UT", "SI", "DT"), TIMED_OUT),
    (_flags("UF", "UH", "UC", "UR", "UPE", "LR", "NC"), SERVICE_UNAVAILABLE),
    (_status(400), MALFORMED_REQUEST),
)
_AUTHZ: tuple[tuple[Block, Reply], ...] = (
    # Status 503 is what `status_on_error` sets: a denial has another status.
    (_all(_status(503), _flags("UAEX")), POLICY_ENGINE_UNAVAILABLE),
)
_USERS: tuple[tuple[Block, Reply], ...] = (
    (_all(_status(401), _details_contain("Jwt_is_missing")), USER_TOKEN_MISSING),
    (_all(_status(401), _details_contain("Jwt_is_expired")), USER_TOKEN_EXPIRED),
    (_status(401), USER_TOKEN_INVALID),
    (_status(403), USER_TOKEN_INVALID),
)
# What the transcoder answers for a path of no RPC.
_JSON: tuple[tuple[Block, Reply], ...] = ((_status(404), UNKNOWN_RPC),)


def mesh_replies(domain: str) -> Block:
    """`local_reply_config` of a listener that only gRPC callers reach."""
    return {"mappers": [_mapper(f, reply, domain) for f, reply in (*_AUTHZ, *_EVERYWHERE)]}


def gateway_replies(domain: str) -> Block:
    """`local_reply_config` of the public listener: the same for gRPC and for JSON."""
    mappers: list[Block] = []
    for condition, reply in (*_USERS, *_EVERYWHERE, *_JSON):
        mappers.append(_mapper(_all(condition, *_IS_GRPC), reply, domain))
        mappers.append(_json_mapper(condition, reply, domain))
    return {"mappers": mappers}


def _request_header(name: str, **match: Any) -> Block:
    return {"header_filter": {"header": {"name": name, **match}}}


# A transcoded call looks like gRPC by now, but for the header that the
# transcoder leaves; the same header from outside is stripped first.
_IS_GRPC = (
    _request_header("content-type", string_match={"prefix": "application/grpc"}),
    _request_header("x-envoy-original-path", present_match=False),
)


def _mapper(condition: Block, reply: Reply, domain: str) -> Block:
    return {
        "filter": condition,
        "status_code": int(reply.http_status),
        "headers_to_add": reply.headers(domain),
        "body": {"inline_string": reply.message},
    }


def _json_mapper(condition: Block, reply: Reply, domain: str) -> Block:
    return {
        "filter": condition,
        "status_code": int(reply.http_status),
        "headers_to_add": [header("x-paymesh-reason", reply.reason)],
        "body_format_override": {"json_format": reply.json(domain)},
    }
