"""An explanation in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.policy.explain.model import Condition, Explanation, Grant
from paymesh.policy.explain.words import both, json_like
from paymesh.policy.log import moments

_MOST_OTHERS = 10


def sentences(found: Explanation) -> Iterator[str]:
    """Lines of text; those that belong together are not parted by an empty one."""
    mark, word = ("✔", "ALLOWED") if found.allowed else ("✗", "DENIED")
    code = "" if found.allowed else f" {found.reason}"
    moment = moments.text(moments.of(found.time) or 0)
    yield f"{mark} {word}{code} at {moment} by the decision point of {found.workload}"
    if found.sentence:
        where = f"  ({found.reason_place})" if found.reason_place else ""
        yield f"  {found.sentence}{where}"
    yield ""
    yield _who(found)
    yield from _user(found)
    yield ""
    yield from _why(found)
    yield from _policy(found)
    if found.trace:
        yield from ("", "How the policy came to it (→ tried, ✗ does not hold, = came out):", "")
        yield found.trace


def _who(found: Explanation) -> str:
    caller = found.caller or "A caller without an identity"
    if found.spiffe_id and found.spiffe_id != found.caller:
        caller += f" ({found.spiffe_id})"
    if found.kind == "object":
        return f"{found.workload} asked whether {caller} may do {found.rpc}{_object(found)}."
    return f"{caller} called {found.rpc or 'nothing that has a name'} of {found.workload}."


def _object(found: Explanation) -> str:
    known = [f"{name} {json_like(value)}" for name, value in (found.object or {}).items()]
    return (
        f" to an object with {both(known)}" if known else " to an object of which nothing was said"
    )


def _user(found: Explanation) -> Iterator[str]:
    if found.user is not None:
        roles = found.user.roles
        with_roles = (
            f"with the role{'s' if len(roles) > 1 else ''} {both(roles)}"
            if roles
            else "without a role"
        )
        yield f"It was for {found.user.sub} of tenant {found.user.tenant}, {with_roles}."
    elif found.kind == "object":
        yield "It was for no end user."
    if found.token is not None:
        yield from found.token.sentences


def _why(found: Explanation) -> Iterator[str]:
    if found.grant is not None:
        yield f"Grant {found.grant.id} allows it:"
        yield from _grant(found.grant)
        yield ""
        return
    if found.rule:
        yield f"This rule allows it ({found.decided_by[0]}):"
        yield from (f"    {line}".rstrip().expandtabs(4) for line in found.rule)
        yield ""
        return
    if found.nearest:
        yield (
            "The grant for this caller and call:"
            if len(found.nearest) == 1
            else "The grants for this caller and call, the nearest first:"
        )
        for grant in found.nearest:
            yield from _grant(grant)
        if found.others:
            named = [f"{grant.caller} by {grant.id}" for grant in found.others[:_MOST_OTHERS]]
            yield f"  Others may make this call too: {both(named)}."
        yield ""
    elif found.kind == "call" and found.check.same and not found.allowed:
        yield f"There is no grant for {found.caller or 'this caller'} and this call."
        yield from _closed(found)
        yield from _others(found)
        yield ""
    yield from found.notes
    yield from _remedies(found)
    if found.decided_by:
        yield f"Refused by {both(found.decided_by)}."


def _grant(grant: Grant) -> Iterator[str]:
    yield f"  {grant.id}  ({grant.place})"
    if grant.why:
        yield f"    “{grant.why}”"
    if not grant.conditions:
        yield "    It has no conditions."
    for condition in grant.conditions:
        yield from _condition(condition)


def _condition(condition: Condition) -> Iterator[str]:
    mark = "✔" if condition.holds else "✗"
    yield f"    {mark} {condition.name}: {_first(condition.description)}  ({condition.place})"
    said = condition.facts[:1].upper() + condition.facts[1:]
    if not condition.holds:
        needs = " or ".join(condition.needs)
        reason = f"{condition.reason}: needs {needs}" if needs else condition.reason
        said = f"{said}; {reason}" if said else reason
    if said:
        yield f"      {said}"


def _first(description: str) -> str:
    """The first sentence."""
    return description.partition(". ")[0].removesuffix(".") + "."


def _closed(found: Explanation) -> Iterator[str]:
    if found.closed is not None:
        yield f"It is closed to everybody: “{found.closed.why}”  ({found.closed.place})"


def _others(found: Explanation) -> Iterator[str]:
    if not found.others:
        if found.closed is None:
            yield "No other caller has one either."
        return
    yield "Others may make it:"
    for grant in found.others[:_MOST_OTHERS]:
        yield f"  {grant.caller} by {grant.id}: “{grant.why}”  ({grant.place})"
    if len(found.others) > _MOST_OTHERS:
        yield f"  and {len(found.others) - _MOST_OTHERS} more"


def _remedies(found: Explanation) -> Iterator[str]:
    if not found.remedies:
        if found.nearest:
            yield "It lacked more than three things at once: the ✗ above say which."
        return
    yield "It would have been allowed with"
    for number, remedy in enumerate(found.remedies):
        by = f"  ({remedy.by})" if remedy.by else ""
        yield f"  {'or ' if number else ''}{both(remedy.changes)}{by}"


def _policy(found: Explanation) -> Iterator[str]:
    yield found.check.sentence
    yield f"Decision {found.decision_id}, policy {found.policy.revision or 'none'}."
