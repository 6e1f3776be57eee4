"""Bank links, over gRPC through the sidecar, for the end user whose token came along."""

from __future__ import annotations

import uuid

import grpc

from meshkit.errors import UpstreamError
from meshkit.logging import get_logger
from payments import rpc
from payments.errors import ProviderUnavailableError
from payments.ports import Link
from paymesh.bank_link.v1 import bank_link_pb2, bank_link_pb2_grpc

_PREFIX = "LINK_STATE_"
_log = get_logger(__name__)


class GrpcLinks:
    """`ports.Links` over a channel of meshkit.channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = bank_link_pb2_grpc.BankLinkServiceStub(channel)

    async def link(self, link_id: uuid.UUID) -> Link | None:
        """See ports.Links. An UpstreamError about the end user's token goes through."""
        request = bank_link_pb2.GetLinkRequest(link_id=str(link_id))
        try:
            reply = await rpc.call(self._stub.GetLink, request)
        except UpstreamError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                return None
            if rpc.is_about_user(error):
                raise
            _log.warning("bank-link refused", code=error.code.name, reason=error.reason)
            raise ProviderUnavailableError(
                "The bank link cannot be checked; nothing was charged."
                " Repeat with the same idempotency key."
            ) from error
        state = bank_link_pb2.LinkState.Name(reply.link.state)
        return Link(owner=reply.link.owner, state=state.removeprefix(_PREFIX))
