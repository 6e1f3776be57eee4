"""The matrix as Markdown: compact, and in lines of which one changes when one thing changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from paymesh.policy.matrix.evaluate import Matrix
from paymesh.policy.matrix.permissions import Part, allowed, always_refused, merged, refused
from paymesh.policy.matrix.plan import Plan
from paymesh.policy.matrix.reading import Unasked

_INTRODUCTION = """\
# Access matrix

What the policy answers, not what the grants say: every caller, RPC, kind of end user and class of
message was put to the rules in `policies/` together with every other. Who does not stand under
*Allowed* is refused. `paymesh policy matrix -o json` has each single answer, `paymesh policy diff
REV` the effect of an edit.

| end user | is |
| --- | --- |
| none | nobody: no token came along |
| {roles} | a verified user with this one role |
| unknown | a verified user with a role that nobody knows, and each other word of the rules |
| all | a verified user with all known roles; only where that is not the sum of the single roles |
| expired, forged | a token with all known roles that is out of date, or not signed by the issuer |

| stranger | is |
| --- | --- |
| no identity | a peer without a SPIFFE ID |
| foreign trust domain | a workload's very path in a trust domain whose name begins like ours |
| foreign namespace | the same in a namespace whose name begins like ours |
| unknown workload | a name that begins like a workload's and stands nowhere in mesh.yaml |

Amounts are in minor units. Tried were each limit of any table and one over it, 1, zero, -1, and a
currency without a limit; of `legs`, below zero means a debit.
"""

_NOT_COVERED = """\
A rule that turns at a value that was not tried is not seen: an amount between two limits, or a
header's value. What the policy reads is known from the rules themselves, and whatever no question
varies is named here; an edit that reads more needs an approval (`paymesh policy diff`).
"""


def markdown(header: str, plan: Plan, matrix: Matrix, unasked: Sequence[Unasked]) -> str:
    """The page. `header` says where it comes from."""
    calls = {key: cell for key, cell in matrix.items() if cell.target.is_call}
    asked = {key: cell for key, cell in matrix.items() if not cell.target.is_call}
    roles = [user.name for user in plan.users if user.roles == (user.name,)]
    sections = [
        f"<!-- {header} -->",
        _INTRODUCTION.format(roles=", ".join(roles)),
        "## Allowed calls\n",
        _table(("caller", "RPC", "end user", "when", "grant"), _allowed(calls)),
        "## Refused calls\n",
        "Of a call that is refused whatever the message says the message is not mentioned.\n",
        _table(("RPC", "reason", "who"), _refused(calls)),
        "## Allowed objects\n",
        "The second question, asked by a service about an object that it has just read.\n",
        _table(("caller", "action", "end user", "when"), (row[:4] for row in _allowed(asked))),
        "## Refused objects\n",
        _table(("action", "reason", "who"), _refused(asked, only_whole=True)),
        "## Not covered\n",
        _NOT_COVERED,
        _uncovered(unasked),
    ]
    return "\n".join(sections)


def _uncovered(unasked: Sequence[Unasked]) -> str:
    if not unasked:
        return "The policy reads nothing that no question varies.\n"
    return "".join(f"- `{one.query}` reads {one.words}\n" for one in unasked)


def _allowed(matrix: Matrix) -> Iterator[Sequence[str]]:
    found = sorted(
        (part.caller, part.target.short, part.users[0], part.when, part.answer.grant)
        for part in allowed(matrix)
    )
    for caller, target, user, when, grant in found:
        yield caller, f"`{target}`", user, when, f"`{grant}`"


def _refused(matrix: Matrix, *, only_whole: bool = False) -> Iterator[Sequence[str]]:
    strangers = always_refused(matrix)
    for caller, reasons in strangers.items():
        yield "*every one*", ", ".join(f"`{reason}`" for reason in reasons), caller
    by_reason: dict[tuple[str, str], list[Part]] = {}
    for part in merged(part for part in refused(matrix) if part.caller not in strangers):
        if part.is_whole or not only_whole:
            by_reason.setdefault((part.target.short, part.answer.reason), []).append(part)
    for (target, reason), found in sorted(by_reason.items()):
        yield f"`{target}`", f"`{reason}`", "; ".join(_who(matrix, found))


def _who(matrix: Matrix, found: Iterable[Part]) -> Iterator[str]:
    """Callers of one RPC with one reason: all their end users, or some, or some messages."""
    found = list(found)
    everyone = []
    for part in found:
        users = [user for caller, target, user in matrix if (caller, target) == _place(part)]
        if part.is_whole and len(part.users) == len(users):
            everyone.append(part.caller)
    if everyone:
        yield ", ".join(everyone)
    for part in found:
        if part.caller not in everyone:
            when = "" if part.is_whole else f" with {part.when}"
            yield f"{part.caller} as {', '.join(part.users)}{when}"


def _place(part: Part) -> tuple[str, str]:
    return part.caller, part.target.name


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
