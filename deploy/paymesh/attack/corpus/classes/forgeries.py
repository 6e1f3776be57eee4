"""Tokens that must not be taken for an operator's."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from paymesh.attack.corpus.ground import Ground
from paymesh.attack.corpus.jws import encoded, es256

Tokens = dict[str, str | bytes]
_ES256_BYTES = 64


def unsigned(ground: Ground) -> str:
    """An operator's claims under the header and the signature of a customer's token."""
    header, _, signature = ground.token("alice").split(".")
    return f"{header}.{encoded(ground.claims('olivia'))}.{signature}"


def _signed_by(ground: Ground, header: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    head = {"typ": "JWT", "kid": ground.material.token_key_id, **header}
    data = f"{encoded(head)}.{encoded(ground.claims('olivia'))}"
    return f"{data}.{encoded(sign(data.encode()))}"


def algorithms(ground: Ground) -> Tokens:
    """`none` in all spellings, the public key as a secret, other kinds of keys."""
    public = ground.material.token_key.public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    numbers = public.public_numbers()
    point = numbers.x.to_bytes(32, "big")
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": encoded(point),
        "y": encoded(numbers.y.to_bytes(32, "big")),
    }
    tokens: Tokens = {
        f"alg-{name or 'empty'}": _signed_by(ground, {"alg": name}, lambda _: b"")
        for name in ("none", "None", "NONE", "nOnE", "", "null", "ES256 ", "es256", "ES256\0")
    }
    keys = {
        "pem": pem, "pem-stripped": pem.strip(), "jwk": json.dumps(jwk).encode(), "x": point,
        "empty": b"", "kid": ground.material.token_key_id.encode(),
    }  # fmt: skip
    for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for name, key in keys.items():

            def sign(data: bytes, key: bytes = key, digest: str = digest) -> bytes:
                return hmac.digest(key, data, digest)

            tokens[f"{alg.lower()}-{name}"] = _signed_by(ground, {"alg": alg}, sign)
    return tokens | _other_keys(ground)


def _other_keys(ground: Ground) -> Tokens:
    own = ec.generate_private_key(ec.SECP256R1())
    large = ec.generate_private_key(ec.SECP384R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    modulus = rsa.generate_private_key(65537, 2048)
    sha256 = hashes.SHA256()
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signers: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
        "es256-own-key": ("ES256", lambda data: es256(own, data)),
        "es256-own-key-der": ("ES256", lambda data: own.sign(data, ec.ECDSA(sha256))),
        "es384": ("ES384", lambda data: large.sign(data, ec.ECDSA(hashes.SHA384()))),
        "es256k": ("ES256K", lambda data: es256(own, data)),
        "eddsa": ("EdDSA", edwards.sign),
        "rs256": ("RS256", lambda data: modulus.sign(data, padding.PKCS1v15(), sha256)),
        "ps256": ("PS256", lambda data: modulus.sign(
            data, padding.PSS(padding.MGF1(sha256), 32), sha256)),
        "es256-issuer-der": ("ES256", lambda data: ground.material.token_key.sign(
            b"x" + data, ec.ECDSA(sha256))),
        "es256-zeros": ("ES256", lambda _: bytes(_ES256_BYTES)),
        "es256-order": ("ES256", lambda _: order.to_bytes(32, "big") * 2),
        "es256-ones": ("ES256", lambda _: (bytes(31) + b"\1") * 2),
        "es256-short": ("ES256", lambda data: es256(ground.material.token_key, data)[:-1]),
        "es256-long": ("ES256", lambda data: es256(ground.material.token_key, data) + b"\0"),
        "es256-empty": ("ES256", lambda _: b""),
        "es256-digest": ("ES256", lambda data: hashlib.sha512(data).digest()),
    }  # fmt: skip
    return {name: _signed_by(ground, {"alg": alg}, sign) for name, (alg, sign) in signers.items()}


def headers(ground: Ground) -> Tokens:
    """A key of one's own, and a header that says where it is to be found."""
    own = ec.generate_private_key(ec.SECP256R1())
    numbers = own.public_key().public_numbers()
    jwk = {
        "kty": "EC", "crv": "P-256", "kid": "own",
        "x": encoded(numbers.x.to_bytes(32, "big")), "y": encoded(numbers.y.to_bytes(32, "big")),
    }  # fmt: skip

    def sign(data: bytes) -> bytes:
        return es256(own, data)

    changes: dict[str, dict[str, Any]] = {
        "jwk": {"jwk": jwk},
        "jwk-own-kid": {"jwk": jwk, "kid": "own"},
        "jku": {"jku": "https://elsewhere.example/jwks.json"},
        "jku-local": {"jku": "file:///dev/stdin"},
        "x5u": {"x5u": "https://elsewhere.example/cert.pem"},
        "x5c": {"x5c": ["MIIB"]},
        "x5t": {"x5t": "AAAA"},
        "kid-none": {"kid": None},
        "kid-empty": {"kid": ""},
        "kid-other": {"kid": "other"},
        "kid-path": {"kid": "../../../../dev/null"},
        "kid-sql": {"kid": "' OR '1'='1"},
        "kid-shell": {"kid": "$(id)"},
        "kid-nul": {"kid": ground.material.token_key_id + "\0"},
        "kid-list": {"kid": [ground.material.token_key_id]},
        "kid-number": {"kid": 0},
        "kid-long": {"kid": "k" * 4000},
        "crit": {"crit": ["exp"]},
        "crit-unknown": {"crit": ["http://x"], "http://x": True},
        "b64": {"b64": False, "crit": ["b64"]},
        "zip": {"zip": "DEF"},
        "cty": {"cty": "JWT"},
        "typ-other": {"typ": "at+jwt"},
        "alg-list": {"alg": ["ES256"]},
        "alg-number": {"alg": 7},
        "epk": {"epk": jwk, "enc": "A128GCM", "alg": "ECDH-ES"},
    }
    return {
        f"header-{name}": _signed_by(ground, {"alg": "ES256", **change}, sign)
        for name, change in changes.items()
    }


def claims(ground: Ground) -> Tokens:
    """Signed by the issuer, but not for here, not now, or not in this shape."""
    now = int(ground.now.timestamp())
    changes: dict[str, dict[str, Any]] = {
        "aud-other": {"aud": "elsewhere"},
        "aud-list-other": {"aud": ["elsewhere", "paymesh2"]},
        "aud-case": {"aud": "Paymesh"},
        "aud-longer": {"aud": "paymesh.example"},
        "aud-none": {"aud": None},
        "aud-empty": {"aud": ""},
        "aud-empty-list": {"aud": []},
        "aud-object": {"aud": {"paymesh": True}},
        "aud-number": {"aud": 0},
        "iss-other": {"iss": "https://elsewhere.example"},
        "iss-slash": {"iss": ground.mesh.users.issuer + "/"},
        "iss-case": {"iss": ground.mesh.users.issuer.upper()},
        "iss-none": {"iss": None},
        "iss-list": {"iss": [ground.mesh.users.issuer]},
        "exp-past": {"exp": now - 120},
        "exp-none": {"exp": None},
        "exp-text": {"exp": str(now + 900)},
        "exp-zero": {"exp": 0},
        "exp-negative": {"exp": -1},
        "exp-list": {"exp": [now + 900]},
        "exp-true": {"exp": True},
        "nbf-future": {"nbf": now + 3600},
        "iat-none": {"iat": None},
        "sub-none": {"sub": None},
        "sub-empty": {"sub": ""},
        "sub-line": {"sub": "olivia\r\nx-paymesh-roles: operator"},
        "sub-nul": {"sub": "olivia\0"},
        "sub-comma": {"sub": "alice,olivia"},
        "sub-object": {"sub": {"sub": "olivia"}},
        "sub-long": {"sub": "o" * 129},
        "tenant-none": {"tenant": None},
        "tenant-upper": {"tenant": "ACME"},
        "tenant-list": {"tenant": ["acme", "globex"]},
        "tenant-line": {"tenant": "acme\n"},
        "roles-none": {"roles": None},
        "roles-text": {"roles": "customer"},
        "roles-comma": {"roles": ["customer,operator"]},
        "roles-space": {"roles": ["customer "]},
        "roles-empty-name": {"roles": [""]},
        "roles-nested": {"roles": [["customer"]]},
        "roles-object": {"roles": {"customer": True}},
        "roles-unknown": {"roles": ["root"]},
        "roles-many": {"roles": [f"role{number}" for number in range(17)] + ["customer"]},
    }
    return {
        f"claim-{name}": ground.signed(ground.claims("alice", **change))
        for name, change in changes.items()
    }


def serialisations(ground: Ground) -> Tokens:
    """A good signature around other bytes, and what is no compact JWS."""
    good = ground.token("olivia")
    header, payload, signature = good.split(".")
    forged = encoded(ground.claims("olivia", roles=["operator", "auditor", "customer"]))
    twice = json.dumps(ground.claims("alice"))[:-1] + ', "roles": ["operator"]}'
    alice = ground.token("alice").split(".")
    odd = {
        "twice-none": b'{"alg":"ES256","alg":"none"}', "array": b"[]", "text": b'"ES256"',
        "nothing": b"", "null": b"null", "not-utf-8": b"\xff\xfe",
    }  # fmt: skip
    return {
        "payload-changed": f"{header}.{forged}.{signature}",
        "payload-twice": f"{alice[0]}.{encoded(twice.encode())}.{alice[2]}",
        "payload-empty": f"{header}..{signature}",
        "payload-of-other": f"{header}.{payload}.{alice[2]}",
        "signature-none": f"{header}.{payload}.",
        "signature-missing": f"{header}.{payload}",
        "four-parts": f"{good}.{signature}",
        "five-parts": f"{header}.{payload}.{signature}.{payload}.{signature}",
        "two-tokens": f"{unsigned(ground)},{good}",
        "json": json.dumps({"protected": header, "payload": forged, "signature": signature}),
        "json-general": json.dumps(
            {"payload": forged, "signatures": [{"protected": header, "signature": signature}]}
        ),
        "padded": ".".join(part + "=" * (-len(part) % 4) for part in (header, forged, signature)),
        "standard-alphabet": f"{header}.{forged}.{signature}".replace("-", "+").replace("_", "/"),
        "spaces": f"{header}. {forged}.{signature}",
        "percent": f"{header}.{forged}.{signature}".replace(".", "%2e"),
        **{f"header-{name}": f"{encoded(head)}.{forged}.{signature}" for name, head in odd.items()},
        **{
            f"payload-{name}": f"{header}.{encoded(body)}.{signature}" for name, body in odd.items()
        },
        "not-base64": "???.???.???",
        "one-part": "x",
        "long": f"{header}.{'A' * 12000}.{signature}",
    }
