"""A stolen user's token: at the gateway, and straight at a callee with a gateway's SVID."""

from __future__ import annotations

import dataclasses
import time

from paymesh import users
from paymesh.attack.lifetimes import authority
from paymesh.attack.lifetimes.model import Lifetime
from paymesh.attack.lifetimes.place import Place, encoded
from paymesh.attack.lifetimes.watch import Watch

_USER, _GATEWAY, _CALLEE, _RPC = "alice", "gateway", "payments", "payments/ListPayments"
_TOKEN_SECONDS = 4
_AFTER_SECONDS = 1.5
_SVID_SECONDS = 60


def stolen(place: Place) -> Lifetime:
    """What becomes of a user's token that is used until after its end.

    Raises:
        StartError: something needed for it did not start.
    """
    rpc, body = encoded(_RPC, {})
    name = place.mesh.spiffe_id(_GATEWAY)
    svid = None if place.arm == "A" else authority.mint(place, _GATEWAY, _SVID_SECONDS)
    token = users.token(place.paths, place.mesh, _USER, ttl_seconds=_TOKEN_SECONDS)
    end = int(time.time()) + _TOKEN_SECONDS
    until = end + _AFTER_SECONDS
    edge = place.attempt(_GATEWAY, rpc, body, until=until, token=token)
    straight = place.attempt(
        _CALLEE,
        rpc,
        body,
        until=until,
        svid=svid,
        claim=name if place.arm == "A" else None,
        token=token,
    )
    tries = place.carry_out(edge, straight, dataclasses.replace(edge, kept=True))
    watch = Watch(place, _CALLEE, end)
    watch.ends("the gateway has it", tries[0])
    watch.ends("a callee itself has it", tries[1])
    watch.ends("over an open connection it is", tries[2])
    watch.executed(tries)
    return Lifetime(
        "user",
        "a user's token",
        "its own end, which every callee checks at each call; nobody can take it back",
        place.mesh.users.token_ttl_seconds,
        tuple(watch.measured),
        tuple(watch.contradicted),
    )
