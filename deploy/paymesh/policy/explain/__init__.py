"""Why a recorded decision is as it is: by asking the policy that made it again.

    explanation = explain(entry, ground, pdp)

    ground    the policy of the decision's revision
    places    lines of its files, and what its rules say of themselves
    question  the record as a question
    changes   what could have been different about it
    asking    the policy
    trials    the policy about all changes at once
    token, call, objects   what it says
    words, model, text     how that is said

No rule of the policy is written down here a second time. A condition that did not hold is one
that the policy says did not; what would have made it hold is what did when it was asked about.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from paymesh.policy import candidate, engine
from paymesh.policy.explain import question
from paymesh.policy.explain import trace as traces
from paymesh.policy.explain.asking import Policy, Unanswered
from paymesh.policy.explain.call import Call
from paymesh.policy.explain.ground import Ground
from paymesh.policy.explain.model import Check, Explanation
from paymesh.policy.explain.model import Policy as PolicyFacts
from paymesh.policy.explain.objects import ObjectQuestion, person
from paymesh.policy.explain.words import both
from paymesh.policy.log.records import Entry, Record
from paymesh.terminal import printable

CALL_PATH = "paymesh/authz/decision"
OBJECT_PATH = "paymesh/objects/decision"
# What the decision point answers by itself.
_OWN_SENTENCES = {
    "REQUEST_UNREADABLE": "The decision point could not read the request, so no policy was asked.",
    "DECISION_NOT_RECORDED": "The decision could not be written to the log in time, and what is"
    " not on record is refused.",
}


def explain(entry: Entry, ground: Ground, pdp: Path, *, trace: bool = False) -> Explanation:
    """Everything that can be said about a recorded decision.

    Args:
        entry: its record.
        ground: the policy of its revision, or the nearest.
        pdp: the decision point's program, which evaluates.
        trace: whether to say how the policy came to its answer, step by step.

    Raises:
        SetupError: the program is missing, or the policy does not load.
    """
    base = _base(entry, ground)
    if base.check.sentence:
        return base
    asked = question.of(entry.record)
    with candidate.unpacked(ground.files) as directory:
        policy = Policy(pdp, directory)
        try:
            subject = (
                Call(policy, ground, asked)
                if base.kind == "call"
                else ObjectQuestion(policy, ground, asked)
            )
        except Unanswered as error:
            return dataclasses.replace(base, check=Check(None, {}, str(error)))
        check = _compare(entry.record, subject, ground)
        sentence, place = subject.sentence(base.reason)
        found = dataclasses.replace(base, sentence=sentence, reason_place=place, check=check)
        if check.same:
            found = subject.add_to(found)
        if trace:
            query = engine.AUTHZ if base.kind == "call" else engine.OBJECTS
            (answer,) = policy.ask([asked], [query], trace=True)
            found = dataclasses.replace(found, trace=traces.readable(answer.trace, ground.files))
        return found


def _base(entry: Entry, ground: Ground) -> Explanation:
    """What the record says by itself."""
    record = entry.record
    is_object = record.get("policy_path") == OBJECT_PATH
    reason = printable(record.get("reason"))
    user = record.get("user")
    return Explanation(
        decision_id=printable(record["decision_id"]),
        time=record["time"],
        kind="object" if is_object else "call",
        workload=entry.workload,
        caller=printable(record.get("caller")),
        spiffe_id=printable(question.presented_id(question.of(record))),
        rpc=printable(record.get("rpc")),
        allowed=record.get("allowed") is True,
        reason=reason,
        sentence=_OWN_SENTENCES.get(reason, ""),
        reason_place="",
        policy=PolicyFacts(ground.wanted, ground.source, exact=ground.is_exact),
        check=Check(None, {}, _why_not_asked(record)),
        user=person(user) if isinstance(user, dict) else None,
    )


def _why_not_asked(record: Record) -> str:
    """Why a policy has nothing to say about a record; empty when it has."""
    if record.get("reason") in _OWN_SENTENCES:
        error = printable(record.get("error"))
        return f"What the decision point says of it: {error}." if error else "No policy was asked."
    if record.get("error"):
        return (
            f"The policy engine failed: {printable(record['error'])}."
            " Envoy let nothing through and answered UNAVAILABLE, which is no refusal."
        )
    if record.get("policy_path") not in {CALL_PATH, OBJECT_PATH}:
        path = printable(record.get("policy_path"))
        return f"Another document of the policy was asked, {path}: only its answer is known."
    if not isinstance(record.get("input"), dict):
        why = printable(record.get("input_omitted")) or "no reason is given"
        return f"The record holds no input ({why}), so the policy cannot be asked again."
    return ""


def _compare(record: Record, subject: Call | ObjectQuestion, ground: Ground) -> Check:
    """The recorded answer beside today's."""
    keys = ("allowed", "reason", "grant")
    answer = {key: subject.decision.get(key, "") for key in keys}
    same = answer == {key: record.get(key) or ("" if key != "allowed" else False) for key in keys}
    # Whether the policy reads what was erased matters when the answers differ.
    erased = list(subject.partial) or ([] if same else question.erased(record["input"]))
    held = ""
    if erased:
        held = (
            f" The record does not hold {printable(both(erased))}:"
            " what rests on that is not certain."
        )
    if ground.is_exact:
        if same:
            said = "Asked again, the policy of that revision gives the same answer."
        else:
            said = (
                "Asked again, the policy of that revision answers otherwise:"
                f" {printable(answer['reason']) or 'nothing'}."
                + ("" if held else " That must not be: please report it with this decision's id.")
            )
    else:
        said = (
            f"The policy of revision {printable(ground.wanted) or '(none)'} is no longer kept."
            f" That of the {ground.source}, which may differ from it, "
        )
        said += (
            "gives the same answer; lines and conditions are its own."
            if same
            else f"answers {printable(answer['reason']) or 'nothing'}, so it cannot say why."
        )
    return Check(same, answer, said + held)
