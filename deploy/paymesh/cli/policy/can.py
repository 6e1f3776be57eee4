"""`paymesh policy who-can` and `paymesh policy can`: the two questions asked most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paymesh import binaries
from paymesh.cli.output import Format, console, print_json, safe
from paymesh.cli.policy.matrix import asking
from paymesh.mesh import repository_root
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.policy.matrix.answers import Permission, Refusal
    from paymesh.policy.matrix.plan import Plan
    from paymesh.policy.matrix.source import Source

_Output = Annotated[Format, typer.Option("-o", "--output", help="`json` for programs.")]


def register(group: typer.Typer) -> None:
    """Adds the commands."""
    group.command(name="who-can")(who_can)
    group.command()(can)


def who_can(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="/package.Service/Method, SERVICE/METHOD such as payments/CreatePayment, or an"
            " action on an object such as payments.refund.",
        ),
    ],
    *,
    output: _Output = Format.TABLE,
) -> None:
    """Who can call METHOD, on what condition, by which grant and why; asked of the policy."""
    from paymesh.policy.matrix import answers

    source, plan = _open()
    name = answers.target(source, plan, method)
    allowed, refused = _ask(source, plan, plan.only(target=name))
    if output is Format.JSON:
        print_json(
            {
                "rpc": name,
                "allowed": answers.as_json(allowed),
                "refused": answers.as_json(refused),
            }
        )
        return
    console.print(f"[bold]{safe(name)}[/bold]")
    for one in allowed:
        _print(one, f"{one.caller} as {one.who}")
    if not allowed:
        console.print("nobody can")
    for no in refused:
        because = f" by {no.place}: {no.why}" if no.why else ""
        _say(f"  ✗ {', '.join(no.callers)}: {no.reason}{because}")


def can(
    caller: Annotated[str, typer.Argument(metavar="CALLER", help="A workload, such as payments.")],
    *,
    role: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="ROLE", help="For this end user only: a role, none, expired …"
        ),
    ] = None,
    output: _Output = Format.TABLE,
) -> None:
    """What CALLER can do, on what condition, by which grant and why; asked of the policy."""
    from paymesh.policy.matrix import answers

    source, plan = _open()
    answers.one_of(caller, plan.callers, "caller")
    if role is not None:
        answers.one_of(role, (user.name for user in plan.users), "end user")
    allowed, refused = _ask(source, plan, plan.only(caller=caller, user=role))
    if output is Format.JSON:
        print_json({"caller": caller, "as": role, "allowed": answers.as_json(allowed)})
        return
    whom = caller if role is None else f"{caller} as {role}"
    if not allowed:
        reasons = ", ".join(dict.fromkeys(no.reason for no in refused))
        _say(f"{whom} can do nothing: {reasons}")
    for one in allowed:
        _print(one, one.rpc if role is not None else f"{one.rpc} as {one.who}")


def _open() -> tuple[Source, Plan]:
    from paymesh.policy.matrix import plan, source

    found = source.read(repository_root(), "the checkout")
    return found, plan.make(found)


def _ask(source: Source, plan: Plan, part: Plan) -> tuple[list[Permission], list[Refusal]]:
    from paymesh.policy.matrix import answers
    from paymesh.policy.matrix.evaluate import evaluate

    with asking():
        matrix = evaluate(part, source, binaries.built(default_paths(), binaries.PDP))
    return answers.permissions(plan, matrix, source), answers.refusals(matrix, source)


def _print(one: Permission, title: str) -> None:
    console.print(f"  [green]✔[/green] {safe(title)}")
    _say(f"      when   {one.when}")
    if one.grant:
        _say(f"      grant  {one.grant}, {one.place}: {one.why}")


def _say(text: str) -> None:
    console.print(safe(text))
