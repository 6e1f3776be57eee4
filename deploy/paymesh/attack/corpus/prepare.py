"""What root finds in a running mesh and what has to be there before the first variant."""

from __future__ import annotations

import base64
import json
import subprocess
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh import binaries, dial
from paymesh.attack.corpus.certificates import Authority, Certificate, uri
from paymesh.attack.corpus.ground import Material
from paymesh.calls import Catalogue
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.paths import Paths

_BUNDLE_SECONDS = 20
TENANT, CURRENCY = "acme", "EUR"


def prepared(paths: Paths, mesh: Mesh) -> Material:
    """Keys, and two accounts that are opened once.

    Raises:
        ConfigError: the mesh is not up, or this is not root.
    """
    try:
        key = serialization.load_pem_private_key((paths.issuer / "key.pem").read_bytes(), None)
        (jwk,) = json.loads((paths.issuer / "jwks.json").read_text("utf-8"))["keys"]
        authority = _authority(paths)
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be read: run this as root beside a running mesh"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("the token issuer's key is of another kind than expected")
    merchant, clearing = _accounts(paths, mesh, authority)
    return Material(authority, key, jwk["kid"], merchant, clearing)


def _authority(paths: Paths) -> Authority:
    """SPIRE's: the key that its disk key manager holds for a certificate of the bundle."""
    text = (paths.data / "spire-server" / "keys.json").read_text("utf-8")
    keys = [
        serialization.load_der_private_key(base64.b64decode(encoded), None)
        for encoded in json.loads(text)["keys"].values()
    ]
    for certificate in reversed(x509.load_pem_x509_certificates(_bundle(paths))):
        for key in keys:
            if (
                isinstance(key, ec.EllipticCurvePrivateKey)
                and key.public_key() == certificate.public_key()
            ):
                return Authority.of(certificate, key)
    raise ConfigError("SPIRE's key manager has no key of its bundle: is the mesh up?")


def _bundle(paths: Paths) -> bytes:
    socket = paths.workload("spire-server") / "private.sock"
    program = binaries.built(paths, "spire-server")
    done = subprocess.run(
        [program, "bundle", "show", "-socketPath", socket, "-format", "pem"],
        capture_output=True,
        check=False,
        timeout=_BUNDLE_SECONDS,
    )
    if done.returncode:
        raise ConfigError("the SPIRE server does not show its bundle: is the mesh up?")
    return done.stdout


def _accounts(paths: Paths, mesh: Mesh, authority: Authority) -> tuple[str, str]:
    """Acme's merchant account, opened by its operator, and its clearing account, opened as
    payments opens it.
    """
    catalogue = Catalogue.load()
    made = uuid.uuid5(uuid.NAMESPACE_URL, f"corpus/{TENANT}/{CURRENCY}")
    request = {
        "request_id": str(made),
        "legal_entity": TENANT,
        "kind": "ACCOUNT_KIND_MERCHANT",
        "currency_code": CURRENCY,
    }
    with dial.gateway(paths, mesh) as channel:
        metadata = dial.user_metadata(paths, mesh, "olivia")
        merchant = catalogue.send(channel, "ledger/OpenAccount", request, metadata=metadata)
    clearing_id = uuid.uuid5(made, "clearing")
    request = {**request, "request_id": str(clearing_id), "kind": "ACCOUNT_KIND_CLEARING"}
    with dial.direct(mesh, "ledger", _svid(mesh, "payments", authority)) as channel:
        clearing = catalogue.send(channel, "ledger/OpenAccount", request)
    for reply in (merchant, clearing):
        if not reply.ok:
            raise ConfigError(f"no account could be opened: {reply.code} {reply.reason or ''}")
    found = [str(reply.body["account"]["account_id"]) for reply in (merchant, clearing)]
    return found[0], found[1]


def _svid(mesh: Mesh, workload: str, authority: Authority) -> dial.Svid:
    key = ec.generate_private_key(ec.SECP256R1())
    spiffe_id = mesh.spiffe_id(workload)
    leaf = Certificate(key.public_key(), (uri(spiffe_id),)).signed(authority)
    pem = serialization.Encoding.PEM
    return dial.Svid(
        spiffe_id,
        x509.load_der_x509_certificate(leaf).public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        x509.load_der_x509_certificate(authority.certificate).public_bytes(pem),
    )
