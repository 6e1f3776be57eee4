"""The keys that sign policies and users' tokens: a signature that verifies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from paymesh.attack.model import SIGN, Target
from paymesh.attack.probe.agent.plan import ANSWERED
from paymesh.attack.probe.attempts import Attempt, Tried, Verdict, nonce
from paymesh.attack.probe.canaries.base import attempt
from paymesh.attack.probe.canaries.identities import verifies
from paymesh.attack.probe.ground import Ground
from paymesh.runtime import pki

_POLICY, _ISSUER = Target("policy-key", SIGN), Target("token-issuer", SIGN)


class Keys:
    """Both of them, each in a file."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        paths = ground.paths
        self._files = {_POLICY: paths.bundle_signing_key, _ISSUER: paths.issuer / "key.pem"}

    def attempts(self, position: str) -> Iterator[Attempt]:
        """By reading the file; and by writing to what the supervisor signs of its own accord."""
        for target, path in self._files.items():
            name = nonce()
            yield attempt(
                position,
                target,
                "with the key in its file",
                {"id": name, "kind": "sign", "paths": [str(path)], "text": name},
            )
        yield attempt(
            position,
            _POLICY,
            "by writing to the policies that are published",
            {"id": nonce(), "kind": "access", "paths": [str(path) for path in self._policies()]},
        )

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """The signature is the key's. That a file can be written to is the kernel's word, and
        whatever stands there is signed.
        """
        keys = {target: pki.ensure_key(path).public_key() for target, path in self._files.items()}
        for one in tried:
            signatures = one.result.get("signatures")
            answered = one.result["state"] == ANSWERED
            if signatures is None:
                yield Verdict(one, answered, answered)
                continue
            key = keys[one.attempt.target]
            seen = any(verifies(key, signature, one.attempt.id) for signature in signatures)
            yield Verdict(one, answered, seen)

    def _policies(self) -> list[Path]:
        """The checkout's policies, directories too: a new file is as good as a changed one."""
        top = self._ground.stage.root / "policies"
        return [top, *(path for path in top.rglob("*") if _is_policy(path))]


def _is_policy(path: Path) -> bool:
    return path.is_dir() or path.suffix in {".rego", ".yaml", ".json", ".binpb"}
