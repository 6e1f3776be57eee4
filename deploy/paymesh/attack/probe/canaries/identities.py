"""SPIRE: an SVID of a workload from the agent, any SVID at all from the server or its CA."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.attack.model import MINT, NONE, OWN, Target
from paymesh.attack.probe.agent.plan import ANSWERED, Address, Tls
from paymesh.attack.probe.attempts import Attempt, Spoken, Tried, Verdict, nonce
from paymesh.attack.probe.canaries.base import attempt, data_of, is_ok
from paymesh.attack.probe.ground import Ground
from paymesh.attack.probe.protobuf import fields, integer, text

WORKLOAD_API_HEADERS = "workload-api"
HEADERS = {WORKLOAD_API_HEADERS: [("workload.spiffe.io", "true")]}
_FETCH = "/SpiffeWorkloadAPI/FetchX509SVID"
_MINT = "/spire.api.server.svid.v1.SVID/MintX509SVID"
_LIFE_SECONDS = 60


class Svids:
    """The Workload API gives a process the SVIDs that its uid has entries for."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def attempts(self, position: str) -> Iterator[Attempt]:
        """One for each workload whose SVID is wanted."""
        for workload in self._ground.mesh.workloads:
            name = nonce()
            call = Spoken(
                self._ground.unix("spire-agent", "api.sock"),
                None,
                {
                    "id": name,
                    "path": _FETCH,
                    "authority": "localhost",
                    "headers": [WORKLOAD_API_HEADERS],
                    "body": "",
                    "first": True,
                    "keep": True,
                },
            )
            target = Target("spire-agent", f"svid:{workload}")
            yield Attempt(name, position, target, "by the Workload API", call)

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """An SVID of this name whose key came with it, and that SPIRE's authority signed."""
        authorities = _authorities(self._ground)
        for one in tried:
            wanted = self._ground.mesh.spiffe_id(one.attempt.target.method.partition(":")[2])
            held = list(_held(data_of(one.result))) if is_ok(one.result, code=0) else []
            named = [pair for pair in held if _uri(pair[0]) == wanted]
            seen = any(
                _is_signed(certificate, authorities) and certificate.public_key() == public
                for certificate, public in named
            )
            yield Verdict(one, bool(named), seen)


def _held(response: bytes) -> Iterator[tuple[x509.Certificate, object]]:
    """Leaf and public half of the private key of each SVID in an X509SVIDResponse (SPIFFE's
    workload.proto).
    """
    for number, svid in fields(response):
        if number == 1:
            parts = dict(fields(svid))
            key = serialization.load_der_private_key(parts[3], password=None)
            yield _first_certificate(parts[2]), key.public_key()


def _first_certificate(chain: bytes) -> x509.Certificate:
    """Of a chain of DER, one after the other: its own length says where the first one ends."""
    length, place = chain[1], 2
    if length & 0x80:
        place += length & 0x7F
        length = int.from_bytes(chain[2:place], "big")
    return x509.load_der_x509_certificate(chain[: place + length])


class Minting:
    """Any name at all: by the server's API, or with the key of its authority."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._key = ec.generate_private_key(ec.SECP256R1())

    def attempts(self, position: str) -> Iterator[Attempt]:
        """By the private socket, by the port that agents use, and from its files."""
        mesh = self._ground.mesh
        target = Target("spire-server", MINT)
        port = self._ground.tcp(mesh.ports["spire_server"])
        ways: list[tuple[str, Address, str | None]] = [
            ("by its private socket", self._ground.unix("spire-server", "private.sock"), None),
            ("by its port without a certificate", port, NONE),
        ]
        if position in mesh.workloads:
            ways.append(("by its port with its certificate", port, OWN))
        for words, address, identity in ways:
            name = nonce()
            call = Spoken(
                address,
                self._tls(position, identity),
                {
                    "id": name,
                    "path": _MINT,
                    "authority": "localhost",
                    "headers": [],
                    "body": base64.b64encode(self._request(name)).decode("ascii"),
                    "keep": True,
                },
            )
            yield Attempt(name, position, target, words, call, identity or NONE)
        name = nonce()
        keys = str(self._ground.paths.data / "spire-server" / "keys.json")
        yield attempt(
            position,
            target,
            "with the key in its file",
            {"id": name, "kind": "sign", "paths": [keys], "text": name},
        )

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """A certificate of ours, or a signature, by SPIRE's authority."""
        authorities = _authorities(self._ground)
        for one in tried:
            if one.result.get("signatures"):
                yield Verdict(one, answered=True, seen=_has_signed(one, authorities))
                continue
            answered = one.result["state"] == ANSWERED and is_ok(one.result, code=0)
            seen = answered and self._is_minted(one, authorities)
            yield Verdict(one, answered, seen)

    def _tls(self, position: str, identity: str | None) -> Tls | None:
        if identity is None:
            return None
        shown = None if identity == NONE else self._ground.certificate(position, identity)
        return {"identity": shown, "server_name": "spire-server", "alpn": ["h2"]}

    def _name(self, name: str) -> str:
        return f"spiffe://{self._ground.mesh.trust_domain}/canary/{name}"

    def _request(self, name: str) -> bytes:
        """A MintX509SVIDRequest (SPIRE's api/server/svid/v1/svid.proto)."""
        uri = x509.UniformResourceIdentifier(self._name(name))
        wanted = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return text(1, wanted.public_bytes(serialization.Encoding.DER)) + integer(2, _LIFE_SECONDS)

    def _is_minted(self, one: Tried, authorities: Sequence[x509.Certificate]) -> bool:
        try:
            svid = dict(fields(data_of(one.result)))[1]
            chain = [content for number, content in fields(svid) if number == 1]
            certificate = x509.load_der_x509_certificate(chain[0])
        except (ValueError, KeyError, IndexError):
            return False
        return (
            _uri(certificate) == self._name(one.attempt.id)
            and certificate.public_key() == self._key.public_key()
            and _is_signed(certificate, authorities)
        )


def _authorities(ground: Ground) -> list[x509.Certificate]:
    """What the agent was given to trust at its first start, and what each SVID came with."""
    bundles = {svid.bundle for svid in ground.stage.loot.live.values()}
    return [found for bundle in bundles for found in x509.load_pem_x509_certificates(bundle)]


def _is_signed(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> bool:
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _has_signed(one: Tried, authorities: Sequence[x509.Certificate]) -> bool:
    return any(
        verifies(authority.public_key(), signature, one.attempt.id)
        for authority in authorities
        for signature in one.result.get("signatures", ())
    )


def verifies(key: object, signature: str, signed: str) -> bool:
    """Whether a base64 signature (ECDSA with SHA-256) is this key's."""
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(base64.b64decode(signature), signed.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _uri(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    return found[0] if len(found) == 1 else ""
