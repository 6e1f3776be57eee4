"""The effect of an edit: the matrix at a revision against the matrix now."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from paymesh.policy import approvals, candidate
from paymesh.policy.approvals import ALLOW, Approvals
from paymesh.policy.matrix import changes, plan, reading, source
from paymesh.policy.matrix.changes import Change, Kind
from paymesh.policy.matrix.evaluate import evaluate
from paymesh.policy.matrix.plan import Plan
from paymesh.policy.matrix.reading import Unasked
from paymesh.policy.matrix.source import Source

WORKING_TREE = "the working tree"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What changed between two states, and who is asked about it.

    `unasked` is what only the later one reads and no question varies.
    """

    base: str
    head: str
    plan: Plan
    changes: tuple[Change, ...]
    unasked: tuple[Unasked, ...] = ()

    def of(self, kind: Kind) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind is kind]

    @property
    def unapproved(self) -> list[Change]:
        """New permissions that no line of the change names."""
        return [c for c in self.of(Kind.NEW) if not c.approved and not c.implied]

    @property
    def unapproved_reads(self) -> list[Unasked]:
        """What nothing was asked about and no line of the change names."""
        return [one for one in self.unasked if not one.is_approved]

    @property
    def is_ok(self) -> bool:
        """Whether nothing of it needs an approval that is missing."""
        return not self.unapproved and not self.unapproved_reads


def compare(root: Path, revision: str, against: str | None, pdp: Path) -> Comparison:
    """The matrix at a git revision, and that of the working tree or of `against`.

    Args:
        root: the checkout.
        revision: of its git.
        against: a checkout, a directory of policies or another revision.
        pdp: the decision point's program.

    Raises:
        PaymeshError: there is no such revision or directory, it has no policies, or they do
            not compile; or policies/approvals.yaml is wrong.
    """
    with candidate.checked_out(revision, root) as before, _head(root, against) as after:
        base = source.read(before, revision, root)
        head = source.read(after, against or WORKING_TREE, root)
        asked = plan.make(base, head)
        lines = approvals.between(before, after, approvals.names(asked))
        found = _changes(asked, base, head, pdp)
        unasked = _unasked(asked, base, head, pdp)
    return Comparison(
        base.label,
        head.label,
        asked,
        tuple(_with_approval(change, lines) for change in found),
        tuple(
            dataclasses.replace(one, is_approved=lines.covers_read(one.place.name))
            for one in unasked
        ),
    )


def _changes(asked: Plan, base: Source, head: Source, pdp: Path) -> list[Change]:
    # The same files give the same answers: nothing to ask.
    if base.files == head.files:
        return []
    return changes.compare(asked, evaluate(asked, base, pdp), evaluate(asked, head, pdp))


def _unasked(asked: Plan, base: Source, head: Source, pdp: Path) -> list[Unasked]:
    if base.files == head.files:
        return []
    return reading.unasked(asked, head, reading.reads(head, pdp), reading.reads(base, pdp))


def _with_approval(change: Change, lines: Approvals) -> Change:
    is_named = change.kind is Kind.NEW and lines.covers(
        ALLOW, change.caller, change.target.name, change.roles
    )
    return dataclasses.replace(change, approved=is_named)


@contextlib.contextmanager
def _head(root: Path, against: str | None) -> Iterator[Path]:
    if against is None:
        yield root
    elif Path(against).is_dir():
        yield Path(against)
    else:
        with candidate.checked_out(against, root) as checkout:
            yield checkout
