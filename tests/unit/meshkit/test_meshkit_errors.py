"""Errors on the wire: what is written can be read, and what is garbled does no harm."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from meshkit.errors import STATUS_DETAILS_KEY, MeshError, UpstreamError, from_rpc

refusals = st.sampled_from([code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
reasons = st.from_regex(r"[A-Z][A-Z0-9_]{0,62}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=60)


class AccountNotFound(MeshError):
    """As a service writes it."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "ACCOUNT_NOT_FOUND"
    message = "There is no such account."


def received(code: grpc.StatusCode, details: bytes, message: str = "") -> UpstreamError:
    """Read an error that arrived with these details."""
    return from_rpc(
        grpc.aio.AioRpcError(
            code,
            grpc.aio.Metadata(),
            grpc.aio.Metadata((STATUS_DETAILS_KEY, details)),
            message,
            debug_error_string="",
        )
    )


@given(
    refusals,
    reasons,
    texts,
    st.dictionaries(texts, texts, max_size=3),
    st.none() | st.floats(0, 10_000),
)
def test_what_is_written_can_be_read(
    code: grpc.StatusCode,
    reason: str,
    message: str,
    metadata: dict[str, str],
    retry_after_seconds: float | None,
) -> None:
    """Code, reason, message, metadata and retry delay survive the wire."""
    error = MeshError(
        message,
        code=code,
        reason=reason,
        metadata=metadata,
        retry_after_seconds=retry_after_seconds,
    )
    details = error.to_status("paymesh.internal").SerializeToString()
    upstream = received(code, details, message)
    assert (upstream.code, upstream.reason, upstream.message) == (code, reason, message)
    assert dict(upstream.metadata) == metadata
    if retry_after_seconds is None:
        assert upstream.retry_after_seconds is None
    else:
        assert upstream.retry_after_seconds == pytest.approx(retry_after_seconds, abs=1e-6)


@given(st.binary(max_size=200))
def test_garbled_details_leave_the_code(details: bytes) -> None:
    """Details that are no google.rpc.Status are passed over; the status code stands."""
    assert received(grpc.StatusCode.ABORTED, details).code is grpc.StatusCode.ABORTED


def test_garbled_detail_messages_leave_the_code() -> None:
    """A detail whose type says ErrorInfo and whose bytes do not is passed over."""
    status = status_pb2.Status(code=10)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="X"))
    status.details[0].value = b"\xff\xff\xff"
    upstream = received(grpc.StatusCode.ABORTED, status.SerializeToString())
    assert (upstream.code, upstream.reason) == (grpc.StatusCode.ABORTED, "")


def test_a_services_error_is_its_class() -> None:
    """A subclass with class attributes needs no arguments; arguments override its message only."""
    assert (AccountNotFound().code, AccountNotFound().reason, str(AccountNotFound())) == (
        grpc.StatusCode.NOT_FOUND,
        "ACCOUNT_NOT_FOUND",
        "There is no such account.",
    )
    other = AccountNotFound("The clearing account is not there.", metadata={"side": "debit"})
    assert (other.message, other.reason) == (
        "The clearing account is not there.",
        "ACCOUNT_NOT_FOUND",
    )
    assert AccountNotFound.message == "There is no such account."


def test_an_error_is_never_ok() -> None:
    """An error with the status OK would look like success, so there is none."""
    with pytest.raises(ValueError, match="OK"):
        MeshError("no", code=grpc.StatusCode.OK)


def test_what_a_domain_uses_brings_in_neither_grpc_nor_a_driver() -> None:
    """Money, identities and card numbers can be imported without gRPC, HTTP and psycopg."""
    code = (
        "import sys, meshkit.money, meshkit.identity, meshkit.cards, meshkit.currencies;"
        "print(sorted({'grpc', 'psycopg', 'httpx', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[]\n"
