"""For tests of the access matrix: a checkout with a git history, edited and asked in part."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Collection
from pathlib import Path

import pytest

from paymesh import binaries
from paymesh.paths import default_paths
from paymesh.policy.matrix import plan, source
from paymesh.policy.matrix.changes import Change, compare
from paymesh.policy.matrix.evaluate import evaluate
from paymesh.policy.matrix.plan import Plan
from paymesh.policy.matrix.source import Source

GRANTS = "policies/paymesh/grants/data.yaml"
CREATE = "/paymesh.payments.v1.PaymentsService/CreatePayment"
REFUND = "/paymesh.payments.v1.PaymentsService/RefundPayment"
BALANCE = "/paymesh.ledger.v1.LedgerService/GetBalance"
ENTRIES = "/paymesh.ledger.v1.LedgerService/ListEntries"
TRANSFER = "/paymesh.ledger.v1.LedgerService/PostTransfer"

_make = plan.make


def own_pdp() -> Path:
    """Our own program, also where PAYMESH_PDP names the official one, which has no `decide`."""
    return binaries.built(default_paths(), binaries.PDP)


def commit(checkout: Path) -> None:
    """Makes a revision of what is in the checkout."""
    for arguments in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "x"),
    ):
        subprocess.run(["git", *arguments], cwd=checkout, check=True, timeout=30)  # noqa: S607


def edit(checkout: Path, path: str, old: str, new: str) -> None:
    """Replaces a text that stands there exactly once."""
    text = (checkout / path).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    (checkout / path).write_text(text.replace(old, new), encoding="utf-8")


def only(full: Plan, targets: Collection[str]) -> Plan:
    """The part of a plan about a few RPCs and actions: a whole one takes seconds."""
    found = tuple(target for target in full.targets if target.name in targets)
    assert len(found) == len(targets)
    return dataclasses.replace(full, targets=found)


def narrow(monkeypatch: pytest.MonkeyPatch, *targets: str) -> None:
    """Every plan is about these only."""
    monkeypatch.setattr(plan, "make", lambda *sources: only(_make(*sources), targets))


def changes(base: Source, checkout: Path, pdp: Path, *targets: str) -> list[Change]:
    """What the checkout answers otherwise than `base`, to whoever asks for these."""
    head = source.read(checkout, "head")
    asked = only(plan.make(base, head), targets)
    return compare(asked, evaluate(asked, base, pdp), evaluate(asked, head, pdp))


def brief(found: Collection[Change]) -> set[tuple[str, str, str, str, str]]:
    """Kind, caller, method, end user and messages of what is not implied."""
    return {
        (change.kind.value, change.caller, change.target.short, change.user, change.when)
        for change in found
        if not change.implied
    }
