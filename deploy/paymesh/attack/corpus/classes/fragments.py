"""Class 3: fragments, which never belong into a request.

CVE-2021-32779 (Envoy) and CVE-2021-39156 (Istio): the proxy compared the path with its
fragment, the service without.
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Maker, path

TITLE = "fragments"

_ENDINGS = (
    "#", "##", "#x", "#/", "#?", "?#", "#/x", "#/../x", "#%00", "#;x", "/#", "/#/", "#.", "#%23",
    "?x#y", "?#x=1", "#x?y", "#!", "%23x#y", "#\\",
)  # fmt: skip


def add(maker: Maker) -> None:
    """A forbidden path that ends in each, and granted and forbidden joined by each."""
    calls = maker.calls
    for call, granted in (
        (calls.inside, calls.may_inside.path),
        (calls.public, calls.may_list.path),
    ):
        for number, ending in enumerate(_ENDINGS, start=1):
            maker.shape(f"ending-{number:02d}", f"ends in {ending}", path(call.path + ending), call)
            joined = granted + ending + call.path
            maker.shape(f"granted-{number:02d}", "granted, then forbidden", path(joined), call)
            joined = call.path + ending + granted
            maker.shape(f"forbidden-{number:02d}", "forbidden, then granted", path(joined), call)
        maker.shape("first", "a fragment first", path(f"#{granted}{call.path}"), call)
        maker.shape("slash-first", "a fragment after a slash", path(f"/#{call.path}"), call)
    maker.control(calls.may_inside, calls.may_public)
