"""Class 23: users' tokens with other algorithms, keys and claims, and tokens in other places.

CVE-2015-9235 (`none`, and HS256 with the public key), CVE-2022-21449 (signatures of zeros),
CVE-2018-0114 (a key in the header), CVE-2022-29226 (Envoy took any token), RFC 8725.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from paymesh.attack.corpus.calls import Change, Maker, path, plus, put
from paymesh.attack.corpus.classes import forgeries

TITLE = "tokens: algorithms, keys, claims, places"

_FIELD = b"authorization"


def add(maker: Maker) -> None:
    """Each at the gateway and past it, for a call that needs some user."""
    calls, ground = maker.calls, maker.ground
    both = (calls.anonymous, calls.userless)
    tokens = forgeries.algorithms(ground) | forgeries.headers(ground) | forgeries.claims(ground)
    tokens |= forgeries.serialisations(ground)
    for name, token in tokens.items():
        value = b"Bearer " + (token.encode() if isinstance(token, str) else token)
        maker.shape(name, "a token", put(_FIELD, value), *both)
    forged = forgeries.unsigned(ground).encode()
    for name, value in _schemes(forged).items():
        maker.shape(f"scheme-{name}", "another scheme", put(_FIELD, value), *both)
    good = ground.token("olivia").encode()
    for name, change in _places(good, calls.anonymous.path).items():
        maker.shape(f"place-{name}", "a good token in another place", change, *both)
    maker.control(calls.may_list, calls.may_list_inside)


def _schemes(token: bytes) -> dict[str, bytes]:
    basic = base64.b64encode(b"olivia:" + token)
    return {
        "lower": b"bearer " + token,
        "upper": b"BEARER " + token,
        "two-spaces": b"Bearer  " + token,
        "tab": b"Bearer\t" + token,
        "none": token,
        "no-space": b"Bearer" + token,
        "colon": b"Bearer: " + token,
        "equals": b"Bearer=" + token,
        "quoted": b'Bearer "' + token + b'"',
        "basic": b"Basic " + basic,
        "digest": b"Digest " + token,
        "token": b"Token " + token,
        "jwt": b"JWT " + token,
        "dpop": b"DPoP " + token,
        "negotiate": b"Negotiate " + token,
        "twice": b"Bearer Bearer " + token,
        "two": b"Bearer " + token + b" " + token,
        "comma": b"Bearer x, Bearer " + token,
        "empty": b"",
        "bearer": b"Bearer",
        "bearer-space": b"Bearer ",
        "null": b"Bearer null",
        "undefined": b"Bearer undefined",
        "dots": b"Bearer ..",
    }


def _places(token: bytes, rpc: str) -> dict[str, Change]:
    text = token.decode()
    changes: dict[str, Change] = {
        name: plus((name.encode(), b"Bearer " + token))
        for name in (
            "x-authorization", "proxy-authorization", "x-forwarded-authorization", "x-auth-token",
            "x-access-token", "x-amzn-oidc-accesstoken", "authorization-bin", "grpc-authorization",
            "www-authenticate", "x-jwt-assertion",
        )
    }  # fmt: skip
    query: Callable[[str], Change] = lambda name: path(f"{rpc}?{name}={text}")  # noqa: E731
    return changes | {
        "query-access-token": query("access_token"),
        "query-token": query("token"),
        "query-authorization": query("authorization"),
        "cookie": plus((b"cookie", b"authorization=Bearer " + token)),
        "cookie-token": plus((b"cookie", b"access_token=" + token + b"; token=" + token)),
        "path": path(f"/{text}{rpc}"),
    }
