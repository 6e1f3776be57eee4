"""A ground that no mesh stands on, for what can be said of the corpus without one."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.attack.corpus import der
from paymesh.attack.corpus.certificates import COMMON_NAME, Authority, Certificate
from paymesh.attack.corpus.ground import Ground, Material
from paymesh.mesh import load_mesh
from paymesh.paths import Paths


def ground(nonce: str = "a") -> Ground:
    """Keys and accounts of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = der.name((COMMON_NAME, "authority"))
    own = Certificate(key.public_key(), ca=True, subject=name, issuer=name)
    authority = own.authority(Authority(b"", key, name, b"id"), key)
    accounts = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
    material = Material(authority, ec.generate_private_key(ec.SECP256R1()), "kid", *accounts)
    home = Path("/nowhere")
    return Ground(Paths(home, home), load_mesh(port_offset=0), material, nonce)
