"""paymesh.bank_link.v1 by a real gRPC server over fakes: what is asked and what is answered."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import bank_link
from bank_link.bootstrap import main, registration
from meshkit.config import ConfigError
from meshkit.context import User
from meshkit.errors import from_rpc
from meshkit.paging import encode_page_token
from meshkit.testing import app_config, headers, serving
from paymesh.bank_link.v1 import bank_link_pb2 as pb
from paymesh.bank_link.v1 import bank_link_pb2_grpc

ALICE = User("alice", "acme", frozenset({"customer"}))
BOB = User("bob", "globex", frozenset({"customer"}))


@pytest.fixture
async def stub(world: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """A stub of the service over the world's fakes."""
    service = registration(world.bank_link, app_config(tmp_path))
    async with serving([service]) as channel:
        yield bank_link_pb2_grpc.BankLinkServiceStub(channel)


def _create(**changes: str) -> pb.CreateLinkRequest:
    fields = {
        "request_id": str(uuid.uuid4()),
        "institution_id": "ins_first_platypus",
        "public_token": f"public-sandbox-success-{uuid.uuid4()}",
    }
    return pb.CreateLinkRequest(**(fields | changes))


async def _refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    error = from_rpc(failure.value)
    return error.code, error.reason


async def test_a_link_from_making_to_removing(world: Any, stub: Any) -> None:
    """Create, get, list, verify and remove answer with the link as it is at that moment."""
    alice = headers(user=ALICE)
    link = (await stub.CreateLink(_create(), metadata=alice)).link
    assert link.state == pb.LINK_STATE_PENDING
    assert (link.institution_id, link.owner) == ("ins_first_platypus", "alice")
    [stored] = world.store.links.values()
    assert link.masked_reference == stored.reference.masked()
    assert link.create_time.ToDatetime() == stored.create_time.replace(tzinfo=None)
    read = await stub.GetLink(pb.GetLinkRequest(link_id=link.link_id), metadata=alice)
    assert read.link == link
    listed = await stub.ListLinks(pb.ListLinksRequest(), metadata=alice)
    assert (list(listed.links), listed.next_page_token) == ([link], "")
    verified = await stub.VerifyLink(pb.VerifyLinkRequest(link_id=link.link_id), metadata=alice)
    assert verified.link.state == pb.LINK_STATE_SUCCESS
    for _ in range(2):
        request = pb.RemoveLinkRequest(link_id=link.link_id)
        assert await stub.RemoveLink(request, metadata=alice) == pb.RemoveLinkResponse()
    listed = await stub.ListLinks(pb.ListLinksRequest(), metadata=alice)
    assert list(listed.links) == []


async def test_nothing_shows_more_of_a_reference_than_its_end(world: Any, stub: Any) -> None:
    """No answer holds the reference, and no row the public token."""
    request = _create()
    made = await stub.CreateLink(request, metadata=headers(user=ALICE))
    [stored] = world.store.links.values()
    assert stored.reference.text not in str(made)
    assert request.public_token not in repr(vars(world.store))


_INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"request_id": "1"}, "INVALID_REQUEST"),
        ({"institution_id": "first platypus"}, "INVALID_REQUEST"),
        ({"public_token": ""}, "INVALID_REQUEST"),
        ({"public_token": "x" * 129}, "INVALID_REQUEST"),
        ({"public_token": "public-abc"}, "INVALID_REQUEST"),
        ({"public_token": "alice:hunter2"}, "CREDENTIALS_REFUSED"),
        ({"public_token": "4111 1111 1111 1111"}, "CREDENTIALS_REFUSED"),
        ({"public_token": "DE89370400440532013000"}, "CREDENTIALS_REFUSED"),
        ({"institution_id": "ins_4111111111111111"}, "CREDENTIALS_REFUSED"),
    ],
)
async def test_bad_input_is_refused_and_not_kept(
    world: Any, stub: Any, change: dict[str, str], reason: str
) -> None:
    """INVALID_ARGUMENT with its reason; neither the store nor the provider is touched."""
    call = stub.CreateLink(_create(**change), metadata=headers(user=ALICE))
    assert await _refusal(call) == (_INVALID, reason)
    assert world.store.links == {}
    assert world.provider.exchanges == []


@pytest.mark.parametrize(
    "typed", ["alice:hunter2secret", "4111111111111111", "DE89370400440532013000"]
)
async def test_what_was_typed_by_mistake_is_not_logged(
    stub: Any,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    typed: str,
) -> None:
    """Neither the answer nor the log, and that before any redaction, holds what stood where a
    token belongs.
    """
    caplog.set_level("DEBUG")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.CreateLink(_create(public_token=typed), metadata=headers(user=ALICE))
    answer = repr(failure.value) + str(failure.value.trailing_metadata())
    said = "".join(capfd.readouterr()) + caplog.text + answer
    assert "CREDENTIALS_REFUSED" in said
    assert typed not in said
    assert base64.b64encode(typed.encode()).decode() not in said


async def test_the_documented_reasons(world: Any, stub: Any) -> None:
    """Each refusal of the use cases has the status and reason that the proto names."""
    alice, code = headers(user=ALICE), grpc.StatusCode
    request = _create()
    link_id = (await stub.CreateLink(request, metadata=alice)).link.link_id
    reused = _create(request_id=request.request_id)
    rejected = _create(public_token="public-sandbox-unheard-of")
    verify, remove = pb.VerifyLinkRequest(link_id=link_id), pb.RemoveLinkRequest(link_id=link_id)
    assert await _refusal(stub.CreateLink(reused, metadata=alice)) == (
        code.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )
    assert await _refusal(stub.CreateLink(rejected, metadata=alice)) == (
        code.FAILED_PRECONDITION,
        "PUBLIC_TOKEN_REJECTED",
    )
    world.provider.available = False
    # One after the other: a call begins when it is made, not when it is awaited.
    for call, request in (
        (stub.CreateLink, _create()),
        (stub.VerifyLink, verify),
        (stub.RemoveLink, remove),
    ):
        refusal = await _refusal(call(request, metadata=alice))
        assert refusal == (code.UNAVAILABLE, "PROVIDER_UNAVAILABLE")
    world.provider.available = True
    assert await _refusal(stub.VerifyLink(verify, metadata=alice)) == (
        code.FAILED_PRECONDITION,
        "LINK_REMOVED",
    )
    get = pb.GetLinkRequest(link_id=link_id)
    assert await _refusal(stub.GetLink(get, metadata=alice)) == (code.NOT_FOUND, "LINK_NOT_FOUND")
    assert await _refusal(stub.RemoveLink(remove, metadata=headers(user=BOB))) == (
        code.NOT_FOUND,
        "LINK_NOT_FOUND",
    )


async def test_without_a_user_there_is_nobody_to_link_for(world: Any, stub: Any) -> None:
    """Create and list need an end user; the other calls find no link without one."""
    link = await world.link()
    nobody = headers()
    missing = (grpc.StatusCode.UNAUTHENTICATED, "USER_TOKEN_MISSING")
    assert await _refusal(stub.CreateLink(_create(), metadata=nobody)) == missing
    assert await _refusal(stub.ListLinks(pb.ListLinksRequest(), metadata=nobody)) == missing
    get = pb.GetLinkRequest(link_id=str(link.link_id))
    assert (await _refusal(stub.GetLink(get, metadata=nobody)))[1] == "LINK_NOT_FOUND"


async def test_payments_asks_to_use_a_link(world: Any, stub: Any) -> None:
    """A call from payments is asked about as links.use, one from the gateway as links.read."""
    link = await world.link("success")
    request = pb.GetLinkRequest(link_id=str(link.link_id))
    payments = headers(caller="payments", user=ALICE)
    assert (await _refusal(stub.GetLink(request, metadata=payments)))[1] == "LINK_NOT_FOUND"
    await stub.VerifyLink(
        pb.VerifyLinkRequest(link_id=str(link.link_id)), metadata=headers(user=ALICE)
    )
    assert (await stub.GetLink(request, metadata=payments)).link.state == pb.LINK_STATE_SUCCESS
    await stub.GetLink(request, metadata=headers(user=ALICE))
    asked = [question["action"] for question in world.policy.questions]
    assert asked == ["links.use", "links.verify", "links.use", "links.read"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
async def test_pages_have_every_own_link_once(world: Any, stub: Any, size: int) -> None:
    """Newest first, each once, nobody else's, none that was removed, whatever the page size."""
    own = [await world.link() for _ in range(7)]
    await world.link(user=BOB)
    removed = own.pop(3)
    with world.call():
        await world.bank_link.remove(removed.link_id)
    token, listed, pages = "", [], 0
    while pages == 0 or token:
        request = pb.ListLinksRequest(page_size=size, page_token=token)
        page = await stub.ListLinks(request, metadata=headers(user=ALICE))
        assert len(page.links) <= size
        listed += [link.link_id for link in page.links]
        token, pages = page.next_page_token, pages + 1
    assert listed == [str(link.link_id) for link in reversed(own)]
    assert pages == -(-6 // size)


async def test_a_page_fits_into_a_message(world: Any, stub: Any) -> None:
    """500 links are more than a message holds: the page is shorter and goes on."""
    own = [await world.link() for _ in range(501)]
    first = await stub.ListLinks(pb.ListLinksRequest(page_size=1000), metadata=headers(user=ALICE))
    assert first.ByteSize() <= 65536
    assert 100 < len(first.links) <= 500
    rest = await stub.ListLinks(
        pb.ListLinksRequest(page_size=500, page_token=first.next_page_token),
        metadata=headers(user=ALICE),
    )
    found = [link.link_id for link in [*first.links, *rest.links]]
    newest_first = [str(link.link_id) for link in reversed(own)]
    assert found == newest_first[: len(found)]
    assert len(rest.links) > 0


async def test_a_page_token_is_its_users(world: Any, stub: Any) -> None:
    """Another user's token, a changed one, or a made-up place is INVALID_PAGE_TOKEN."""
    for _ in range(2):
        await world.link()
        await world.link(user=BOB)
    page = await stub.ListLinks(pb.ListLinksRequest(page_size=1), metadata=headers(user=ALICE))
    token = page.next_page_token
    invalid = (_INVALID, "INVALID_PAGE_TOKEN")
    for user, text in [(BOB, token), (ALICE, token[:-1]), (ALICE, "x"), (ALICE, token.swapcase())]:
        call = stub.ListLinks(pb.ListLinksRequest(page_token=text), metadata=headers(user=user))
        assert await _refusal(call) == invalid


@pytest.mark.parametrize(
    "cursor",
    [
        ["yesterday", str(uuid.uuid4())],
        ["2026-01-01T00:00:00", str(uuid.uuid4())],
        ["2026-01-01T00:00:00+00:00", "1"],
    ],
)
async def test_a_well_made_token_of_nonsense_is_refused(stub: Any, cursor: list[str]) -> None:
    """Tokens are not signed, so what is in them is parsed."""
    token = encode_page_token(cursor, ("ListLinks", "acme", "alice"))
    call = stub.ListLinks(pb.ListLinksRequest(page_token=token), metadata=headers(user=ALICE))
    assert await _refusal(call) == (_INVALID, "INVALID_PAGE_TOKEN")


async def test_without_a_provider_key_it_does_not_start(tmp_path: Path) -> None:
    """There is no default key: one sentence that names the variable."""
    with pytest.raises(ConfigError, match="PAYMESH_PROVIDER_KEY_FILE"):
        await main(app_config(tmp_path, provider_key=None))


def test_the_entry_point_is_short() -> None:
    """__main__ has 30 lines at most."""
    lines = Path(bank_link.__file__ or "").with_name("__main__.py").read_text().splitlines()
    assert len(lines) <= 30
