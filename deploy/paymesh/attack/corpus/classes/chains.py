"""What the classes about certificates share: a call that only the certificate can spoil."""

from __future__ import annotations

from functools import partial

from paymesh.attack.corpus.calls import Call, Maker
from paymesh.attack.corpus.certificates import Authority, Certificate, uri
from paymesh.attack.corpus.model import Attempt, Sent
from paymesh.attack.wire import tls13


def attempt(
    maker: Maker,
    name: str,
    what: str,
    certificate: Certificate | bytes,
    *chain: bytes,
    by: Authority | None = None,
    entitled: bool = False,
) -> None:
    """Posting to the ledger, as payments may, with this leaf and what follows it."""
    leaf = certificate
    if isinstance(leaf, Certificate):
        leaf = leaf.signed(by or maker.ground.material.authority)
    show(maker, name, what, tls13.Identity((leaf, *chain), maker.ground.key), entitled=entitled)


def show(
    maker: Maker,
    name: str,
    what: str,
    identity: tls13.Identity,
    script: tls13.Script | None = None,
    *,
    entitled: bool = False,
) -> None:
    """The same with any identity, and any handshake."""
    call = maker.calls.may_post
    way = call.way.changed(identity=identity, script=script or call.way.script)
    maker.add(name, what, way, partial(_sent, call), entitled=entitled)


def control(maker: Maker) -> None:
    """A leaf as SPIRE makes it for payments, from the same hand."""
    right = uri(maker.ground.mesh.spiffe_id("payments"))
    attempt(
        maker,
        "control",
        "a certificate as it has to be",
        maker.ground.certificate(right),
        entitled=True,
    )


def _sent(call: Call, trace: str) -> Attempt:
    return Sent(call.request(trace), shares=False)
