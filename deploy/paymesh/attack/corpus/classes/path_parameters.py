"""Class 4: path parameters and queries.

CVE-2026-73553: Envoy's RBAC compared the path with its `;` parameters, its router without.
Transcoding makes fields of a message from a query, which is one more reading of a path.
"""

from __future__ import annotations

from collections.abc import Callable

from paymesh.attack.corpus.calls import Maker, path
from paymesh.attack.corpus.model import Attempt, Http1

TITLE = "path parameters and queries"

_ENDINGS = (
    ";", ";x", ";x=1", ";x=1,2", ";/", ";x/..", ";;", "?", "??", "?x", "?x=1", "?;", "?x;y",
    "?$alt=json", "?:method=POST", "?path=/", "?&", "?=", "?%00", "?access_token=x",
    ";jsessionid=1", "?x-http-method-override=POST",
)  # fmt: skip


def add(maker: Maker) -> None:
    """A forbidden path with each, granted and forbidden joined by each, and JSON's fields."""
    calls = maker.calls
    for call, granted in (
        (calls.inside, calls.may_inside.path),
        (calls.public, calls.may_list.path),
    ):
        for number, ending in enumerate(_ENDINGS, start=1):
            maker.shape(f"ending-{number:02d}", f"ends in {ending}", path(call.path + ending), call)
            joined = granted + ending + call.path
            maker.shape(f"granted-{number:02d}", "granted, then forbidden", path(joined), call)
        middle = call.path.index("/", 1)
        for number, parameter in enumerate((";", ";x=1", ";x=/", ";."), start=1):
            value = call.path[:middle] + parameter + call.path[middle:]
            maker.shape(f"service-{number}", "a parameter of the service", path(value), call)
    _json(maker)
    maker.control(calls.may_inside, calls.may_public)
    maker.add(
        "control@json",
        "the operator's own tenant, as JSON",
        maker.ground.public_http1(),
        _get(maker, "/v1/legal-entities/acme/balances"),
        entitled=True,
    )


def _json(maker: Maker) -> None:
    """An operator of acme asks for another tenant's balances."""
    entity = "/v1/legal-entities/{}/balances"
    for name, target in {
        "other": entity.format("globex"),
        "field-again": entity.format("acme") + "?legal_entity=globex",
        "field-again-camel": entity.format("acme") + "?legalEntity=globex",
        "field-first": "/v1/legal-entities/acme?legal_entity=globex/balances",
        "parameter": entity.format("acme;legal_entity=globex"),
        "parameter-other": entity.format("globex;acme"),
        "encoded-letter": entity.format("glob%65x"),
        "encoded-slash": entity.format("acme%2f..%2fglobex"),
        "empty-first": entity.format("") + "?legal_entity=globex",
        "nested": entity.format("acme") + "?legal_entity.x=globex",
        "index": entity.format("acme") + "?legal_entity[0]=globex",
        "unknown": entity.format("globex") + "?unknown=1",
        "fragment": entity.format("globex") + "#/v1/legal-entities/acme/balances",
    }.items():
        maker.add(
            f"json-{name}", target, maker.ground.public_http1(), _get(maker, target), grpc=False
        )

    target = entity.format("globex") + "?legal_entity=acme"
    # The field stands in the path and in the query, and there can be only one: the operator's own.
    maker.add(
        "json-field-twice",
        target,
        maker.ground.public_http1(),
        _get(maker, target),
        permits=lambda reply: b"globex" not in reply.body,
        rpc=maker.calls.may_public.path,
        grpc=False,
    )


def _get(maker: Maker, target: str) -> Callable[[str], Attempt]:
    token = maker.ground.token("olivia")

    def attempt(trace: str) -> Attempt:
        return Http1(
            f"GET {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
            f"traceparent: 00-{trace}-00000000000000c1-01\r\n\r\n".encode()
        )

    return attempt
