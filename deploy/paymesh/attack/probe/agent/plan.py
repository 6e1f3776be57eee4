"""What stands in a plan and in a report; both are JSON, bytes in it are base64.

A report has one `Result` for each call and each errand of the plan, by `id`:

    answered    by whoever is there: a gRPC status, an HTTP status, a line, signatures
    refused     before anything was asked: no connection, no handshake, no file
    failed      neither, and not after several attempts either: nothing is known
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

State = Literal["answered", "refused", "failed"]
ANSWERED: State = "answered"
REFUSED: State = "refused"
FAILED: State = "failed"


class Tls(TypedDict):
    """`identity` names a client certificate of the plan, None shows none."""

    identity: str | None
    server_name: str
    alpn: list[str]


class Address(TypedDict):
    """Either of the two."""

    tcp: NotRequired[tuple[str, int]]
    unix: NotRequired[str]


class Call(TypedDict):
    """One gRPC call. `id` is 32 hexadecimal digits and its trace's id.

    `headers` names lists of the plan's; `first` leaves after the first message of a stream
    that may have no end; `keep` has the reply's message in the report.
    """

    id: str
    path: str
    authority: str
    headers: list[str]
    body: str
    first: NotRequired[bool]
    keep: NotRequired[bool]


class Conversation(TypedDict):
    """Calls that go over one connection."""

    address: Address
    tls: Tls | None
    calls: list[Call]


class Errand(TypedDict):
    """Something that is no gRPC call.

    http    one HTTP/1.1 request: `method`, `path`, `headers`, `body`
    line    `text` is sent and one line read
    sign    `text` is signed with each private key in the files of `paths`
    row     `statement` is carried out in a database and committed
    read    the first of `paths` that can be is read
    access  asks the kernel whether any of `paths` may be written to
    """

    id: str
    kind: Literal["http", "line", "sign", "row", "read", "access"]
    address: NotRequired[Address]
    tls: NotRequired[Tls | None]
    method: NotRequired[str]
    path: NotRequired[str]
    headers: NotRequired[dict[str, str]]
    body: NotRequired[str]
    text: NotRequired[str]
    paths: NotRequired[list[str]]
    database: NotRequired[str]
    role: NotRequired[str]
    password: NotRequired[str | None]
    statement: NotRequired[str]


class Certificate(TypedDict):
    """A client certificate with its chain and its key, PEM."""

    chain: str
    key: str


class Plan(TypedDict):
    """Everything that one run of the agent does."""

    certificates: dict[str, Certificate]
    headers: dict[str, list[tuple[str, str]]]
    conversations: list[Conversation]
    errands: list[Errand]


class Result(TypedDict):
    """What came of a call or an errand.

    `code` is the gRPC or HTTP status; `detail` a few words for people, such as a reason
    code; `data` a message or a body's beginning; `digest` the SHA-256 of a whole body.
    """

    id: str
    state: State
    attempts: int
    code: NotRequired[int | None]
    detail: NotRequired[str]
    data: NotRequired[str]
    digest: NotRequired[str]
    signatures: NotRequired[list[str]]


class Report(TypedDict):
    """All there is to tell."""

    results: list[Result]
