"""A stolen SVID: at new connections, at one that was opened in time, and after its revocation."""

from __future__ import annotations

import dataclasses
import time

from paymesh.attack.lifetimes import authority, shortened
from paymesh.attack.lifetimes.model import Lifetime
from paymesh.attack.lifetimes.place import Place, encoded
from paymesh.attack.lifetimes.watch import Watch, good

_OWNER, _CALLEE, _RPC = "statements", "ledger", "ledger/ListBalances"
_REQUEST = {"legal_entity": "acme"}
_SVID_SECONDS = 3
_CONNECTION_SECONDS = 3
_REVOKED_SVID_SECONDS = 8
_AFTER_SECONDS = 1.5
_START_SECONDS = 1.0


def stolen(place: Place) -> Lifetime:
    """What becomes of an SVID that is used until after its end.

    Raises:
        StartError: something needed for it did not start.
    """
    limits = shortened.limits(place, _CALLEE)
    rpc, body = encoded(_RPC, _REQUEST)
    bound = _CONNECTION_SECONDS + limits.served_on_seconds
    with shortened.envoy(place, _CALLEE, _CONNECTION_SECONDS) as socket:
        svid = authority.mint(place, _OWNER, _SVID_SECONDS)
        end = authority.end_of(svid)
        last = time.time() + _START_SECONDS + bound + _AFTER_SECONDS
        new = place.attempt(_CALLEE, rpc, body, until=end + _AFTER_SECONDS, svid=svid)
        kept = dataclasses.replace(new, kept=True)
        short = dataclasses.replace(kept, until=last, address=str(socket))
        held = dataclasses.replace(short, held=True)
        tries = place.carry_out(new, kept, short, held)
    watch = Watch(place, _CALLEE, end)
    watch.ends("new connections", tries[0])
    watch.goes_on("a connection that was opened before", tries[1])
    what = f"one that is asked to go after {_CONNECTION_SECONDS} s"
    watch.cut_off(what, tries[2], after_seconds=bound)
    watch.cut_off(f"{what}, with a request under way", tries[3], after_seconds=bound, closed=False)
    watch.executed(tries)
    return Lifetime(
        "live",
        "a workload's SVID with its key",
        f"its own end {place.mesh.identity.x509_svid_ttl_seconds} s after it was issued; over a"
        f" connection that was opened in time, {limits.asked_after_seconds:g} s after that was"
        f" opened and {limits.served_on_seconds:g} s to drain it",
        _longest_seconds(place, limits),
        tuple(watch.measured),
        tuple(watch.contradicted),
    )


def revoked(place: Place) -> Lifetime:
    """What becomes of an SVID whose registration entry is deleted.

    Raises:
        StartError: the agent did not give one out.
    """
    rpc, body = encoded(_RPC, _REQUEST)
    with authority.registered(place, _OWNER, _REVOKED_SVID_SECONDS):
        svid = authority.fetch(place)
    end, deleted = authority.end_of(svid), time.time()
    attempt = place.attempt(_CALLEE, rpc, body, until=end + _AFTER_SECONDS, svid=svid)
    (tries,) = place.carry_out(attempt)
    watch = Watch(place, _CALLEE, end)
    watch.measured.append(f"its entry was deleted {end - deleted:.1f} s before its end")
    watch.ends("new connections", tries)
    watch.executed([tries])
    return Lifetime(
        "live",
        "the same, once its registration entry is deleted",
        "nothing sooner: SPIRE gives out no new one, and what was given out is good to its end",
        _longest_seconds(place, shortened.limits(place, _CALLEE)),
        tuple(watch.measured),
        tuple(watch.contradicted),
    )


def claimed(place: Place) -> Lifetime:
    """Where nobody asks for an SVID: a name is taken without any."""
    rpc, body = encoded(_RPC, _REQUEST)
    until = time.time() + _START_SECONDS
    name = place.mesh.spiffe_id(_OWNER)
    (tries,) = place.carry_out(place.attempt(_CALLEE, rpc, body, until=until, claim=name))
    watch = Watch(place, _CALLEE, until)
    watch.measured.append(f"{good(tries)} calls in {_OWNER}'s name without any certificate")
    if not good(tries):
        watch.contradicted.append(f"nobody may take {_OWNER}'s name")
    watch.executed([tries])
    return Lifetime(
        "live",
        "a workload's SVID with its key",
        "nothing: no service asks for one, and a name is believed",
        0,
        tuple(watch.measured),
        tuple(watch.contradicted),
    )


def _longest_seconds(place: Place, limits: shortened.Limits) -> int:
    """From the theft of a fresh SVID to the last request that is answered for it."""
    connection = limits.asked_after_seconds + limits.served_on_seconds
    return round(place.mesh.identity.x509_svid_ttl_seconds + connection)
