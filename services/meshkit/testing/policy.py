"""Policy by a table, in place of the policy decision point."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meshkit.context import current
from meshkit.pdp import ObjectDenied, PolicyUnavailable, question_of

Rule = Callable[[Mapping[str, object]], bool]


class FakeObjectPolicy:
    """Same contract as pdp.ObjectPolicy: decides by a function of the policy's input.

    Denies by default. `questions` holds every input that was asked; set
    `available` to False to have it raise PolicyUnavailable.
    """

    def __init__(self, rule: Rule | None = None) -> None:
        self.rule: Rule = rule or (lambda _question: False)
        self.available = True
        self.questions: list[Mapping[str, object]] = []

    @classmethod
    def allow_all(cls) -> FakeObjectPolicy:
        """Return one that allows everything."""
        return cls(lambda _question: True)

    @classmethod
    def own_tenant(cls) -> FakeObjectPolicy:
        """Return one that allows what belongs to the user's tenant and, for customers, to them."""
        return cls(_own_tenant)

    async def allowed(self, action: str, obj: Mapping[str, object]) -> None:
        """Return if the rule allows it. Raises ObjectDenied, PolicyUnavailable."""
        question = question_of(action, current(), obj)
        if not self.available:
            raise PolicyUnavailable
        self.questions.append(question)
        if not self.rule(question):
            raise ObjectDenied

    async def close(self) -> None:
        """Close nothing."""


def _own_tenant(question: Mapping[str, object]) -> bool:
    user, obj = question["user"], question["object"]
    if not isinstance(user, Mapping) or not isinstance(obj, Mapping):
        return False
    if obj.get("tenant", user["tenant"]) != user["tenant"]:
        return False
    is_staff = bool({"operator", "auditor"} & set(user["roles"]))
    return is_staff or obj.get("owner", user["sub"]) == user["sub"]
