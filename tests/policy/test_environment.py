"""What the policy is told of its mesh."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.policy.environment import environment
from paymesh.runtime.issuer import jwk

KEY = jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
OTHER = jwk(ec.generate_private_key(ec.SECP256R1()).public_key())


def test_the_environment_is_the_mesh_and_the_issuers_keys(mesh: Mesh) -> None:
    """Trust domain, namespace, workloads and issuer, and not a field more."""
    assert environment(mesh, json.dumps({"keys": [KEY, OTHER]})) == {
        "trust_domain": "paymesh.internal",
        "namespace": "paymesh",
        "workloads": ["bank-link", "gateway", "ledger", "payments", "statements"],
        "users": {
            "issuer": "https://issuer.paymesh.internal",
            "audience": "paymesh",
            "jwks": json.dumps({"keys": [KEY, OTHER]}, sort_keys=True, separators=(",", ":")),
        },
    }


@pytest.mark.parametrize(
    "keys",
    [
        [],
        {},
        "x",
        [KEY, KEY],
        [{**KEY, "d": "secret"}],
        [{**KEY, "kty": "oct", "k": "c2VjcmV0"}],
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}],
        [{**KEY, "crv": "P-384"}],
        [{**KEY, "alg": "none"}],
        [{**KEY, "use": "enc"}],
        [{**KEY, "x": "AA"}],
        [{**KEY, "kid": ""}],
        [{name: value for name, value in KEY.items() if name != "kid"}],
        [{**KEY, "y": 7}],
        ["x"],
    ],
)
def test_only_public_p256_keys_with_distinct_ids_are_taken(mesh: Mesh, keys: Any) -> None:
    """A private key, a shared secret or a key without a name never gets into a bundle."""
    with pytest.raises(ConfigError):
        environment(mesh, json.dumps({"keys": keys}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{"])
def test_what_is_no_jwk_set_is_refused(mesh: Mesh, text: str) -> None:
    """Damaged text is a sentence, not a traceback."""
    with pytest.raises(ConfigError, match="no JWK Set"):
        environment(mesh, text)
