"""paymesh.bank_link.v1 over the use cases: messages to domain and back, nothing else.

The rules of protos/paymesh/bank_link/v1/bank_link.proto have been checked by
meshkit's interceptor when a method here runs.
"""

# ruff: noqa: N802  # gRPC names the methods

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from bank_link.domain import Cursor, Link, LinkId, Owner, RequestId, Wanted
from bank_link.handlers import BankLink
from bank_link.public_token import PublicToken
from meshkit import context
from meshkit.paging import InvalidPageToken, decode_page_token, encode_page_token, page_size
from paymesh.bank_link.v1 import bank_link_pb2, bank_link_pb2_grpc

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500

# The workload that asks for a link in order to charge it.
_PAYING_WORKLOAD = "payments"
# A repeated message costs its tag and its length besides itself; 5 bytes are
# enough up to 256 MiB. The rest is for the page token.
_ITEM_OVERHEAD_BYTES = 5
_PAGE_OVERHEAD_BYTES = 512

_GrpcContext = Any  # grpc.aio's, or a stand-in; not used here


class BankLinkServicer(bank_link_pb2_grpc.BankLinkServiceServicer):
    """The gRPC side of `BankLink`.

    `max_message_bytes` bounds the pages: callers take no larger message.
    """

    def __init__(self, bank_link: BankLink, *, max_message_bytes: int) -> None:
        self._bank_link = bank_link
        self._max_page_bytes = max_message_bytes - _PAGE_OVERHEAD_BYTES

    async def CreateLink(
        self, request: bank_link_pb2.CreateLinkRequest, _context: _GrpcContext
    ) -> bank_link_pb2.CreateLinkResponse:
        """See the proto."""
        wanted = Wanted(
            owner=_user(),
            request_id=RequestId(uuid.UUID(request.request_id)),
            institution_id=request.institution_id,
            public_token=PublicToken.parse(request.public_token),
        )
        link = await self._bank_link.create(wanted)
        return bank_link_pb2.CreateLinkResponse(link=_message(link))

    async def GetLink(
        self, request: bank_link_pb2.GetLinkRequest, _context: _GrpcContext
    ) -> bank_link_pb2.GetLinkResponse:
        """See the proto."""
        to_use = context.current().caller.workload == _PAYING_WORKLOAD
        link = await self._bank_link.get(_link_id(request.link_id), to_use=to_use)
        return bank_link_pb2.GetLinkResponse(link=_message(link))

    async def ListLinks(
        self, request: bank_link_pb2.ListLinksRequest, _context: _GrpcContext
    ) -> bank_link_pb2.ListLinksResponse:
        """See the proto."""
        owner = _user()
        query = ("ListLinks", owner.tenant, owner.sub)
        size = page_size(request.page_size, default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE)
        links = await self._bank_link.list(owner, _cursor(request.page_token, query), size + 1)
        page = self._page(links, size)
        more = len(page) < len(links)
        return bank_link_pb2.ListLinksResponse(
            links=page,
            next_page_token=_page_token(links[len(page) - 1], query) if more else "",
        )

    async def VerifyLink(
        self, request: bank_link_pb2.VerifyLinkRequest, _context: _GrpcContext
    ) -> bank_link_pb2.VerifyLinkResponse:
        """See the proto."""
        link = await self._bank_link.verify(_link_id(request.link_id))
        return bank_link_pb2.VerifyLinkResponse(link=_message(link))

    async def RemoveLink(
        self, request: bank_link_pb2.RemoveLinkRequest, _context: _GrpcContext
    ) -> bank_link_pb2.RemoveLinkResponse:
        """See the proto."""
        await self._bank_link.remove(_link_id(request.link_id))
        return bank_link_pb2.RemoveLinkResponse()

    def _page(self, links: Sequence[Link], size: int) -> Sequence[bank_link_pb2.Link]:
        """As many of the links as a page takes, by number and by bytes, but at least one."""
        page: list[bank_link_pb2.Link] = []
        free_bytes = self._max_page_bytes
        for link in links:
            message = _message(link)
            free_bytes -= message.ByteSize() + _ITEM_OVERHEAD_BYTES
            if len(page) == size or (page and free_bytes < 0):
                break
            page.append(message)
        return page


def _user() -> Owner:
    """The end user of this call. Raises UserRequired."""
    user = context.current().require_user()
    return Owner(user.tenant, user.sub)


def _link_id(text: str) -> LinkId:
    return LinkId(uuid.UUID(text))


def _page_token(last: Link, query: Sequence[str]) -> str:
    return encode_page_token((last.create_time.isoformat(), str(last.link_id)), query)


def _cursor(token: str, query: Sequence[str]) -> Cursor | None:
    """Where the page begins; anybody can make a token, so it is parsed."""
    parts = decode_page_token(token, query, length=2)
    if parts is None:
        return None
    try:
        create_time = dt.datetime.fromisoformat(parts[0])
        link_id = _link_id(parts[1])
    except ValueError:
        raise InvalidPageToken from None
    if create_time.tzinfo is None:
        raise InvalidPageToken
    return Cursor(create_time, link_id)


def _timestamp(moment: dt.datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _message(link: Link) -> bank_link_pb2.Link:
    return bank_link_pb2.Link(
        link_id=str(link.link_id),
        state=bank_link_pb2.LinkState.Value(f"LINK_STATE_{link.state.value}"),
        institution_id=link.institution_id,
        masked_reference="" if link.reference is None else link.reference.masked(),
        owner=link.owner.sub,
        create_time=_timestamp(link.create_time),
        update_time=_timestamp(link.update_time),
    )
