"""`paymesh demo`: the mesh from nothing to balances that add up."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from paymesh.cli import clusters
from paymesh.cli.lifecycle import bring_down, bring_up, is_up
from paymesh.cli.output import Format, console, print_json, safe
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.demo.session import Line, Session

_WIDTH = 72


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(demo)


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the mesh up afterwards.")] = False,
    kube: clusters.Kube = False,
    context: clusters.Context = None,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Bring the mesh up, send payments as end users, show what is refused.

    With --kube through the gateway of a mesh that is up in a cluster; what needs a
    workload's own socket is not tried from here.

    Exits with 0 only if every single thing came out as expected. A mesh that was
    up before stays up; one that the demo started is stopped again, unless --keep.
    """
    show = output is Format.TABLE
    printer = _Printer() if show else _silent
    session = _in_cluster(context, printer) if kube else _on_machine(printer, keep=keep, show=show)
    wrong = [line for line in session.lines if not line.expected]
    if show:
        _print_verdict(len(session.lines), wrong)
        if kube:
            console.print(
                "not tried from here: what needs to be in a pod, as other certificates and a policy"
                " engine that is down; `make test-k8s` does"
            )
    else:
        print_json([vars(line) for line in session.lines])
    if wrong:
        sys.exit(1)


def _on_machine(printer: Callable[[Line], None], *, keep: bool, show: bool) -> Session:
    from paymesh.demo import refusals
    from paymesh.demo.session import Session

    paths, mesh = default_paths(), load_mesh()
    was_up = is_up(paths)
    if not was_up:
        bring_up(paths, mesh, quiet=not show)
    try:
        with Session.open(paths, mesh, printer) as session:
            _pay(session)
            refusals.attempt_all(session)
    finally:
        if not was_up and not keep:
            bring_down(paths, quiet=not show)
    return session


def _in_cluster(context: str | None, printer: Callable[[Line], None]) -> Session:
    from paymesh.demo import refusals
    from paymesh.demo.session import Session

    with (
        clusters.gateway(context, kube=True) as (paths, mesh),
        Session.open(paths, mesh, printer) as session,
    ):
        _pay(session)
        refusals.attempt_at_gateway(session)
    return session


def _pay(session: Session) -> None:
    from paymesh.demo import payments

    accounts = payments.open_accounts(session)
    before = session.balances()
    paid = payments.send_all(session, accounts)
    _check_balances(session, before, accounts, paid)


def _check_balances(
    session: Session,
    before: dict[str, dict[str, object]],
    accounts: dict[str, str],
    paid: dict[str, int],
) -> None:
    after = session.balances()
    total: dict[str, int] = defaultdict(int)
    for account in after.values():
        total[account["currency"]] += account["minor_units"]
    for currency, account_id in sorted(accounts.items()):
        now = after[account_id]["minor_units"]
        earlier = before.get(account_id, {}).get("minor_units", 0)
        added = now - int(str(earlier))
        session.report(
            "balances",
            f"{currency} merchant {earlier} + {added} = {now}, all {currency} accounts sum to"
            f" {total[currency]}",
            "adds up" if added == paid.get(currency, 0) and total[currency] == 0 else "DOES NOT",
            expected=added == paid.get(currency, 0) and total[currency] == 0,
        )


class _Printer:
    """Prints each line as it comes about, below the heading of its step."""

    def __init__(self) -> None:
        self._step = ""

    def __call__(self, line: Line) -> None:
        if line.step != self._step:
            self._step = line.step
            console.print(f"\n[bold]{line.step}[/bold]")
        mark = "[green]✔[/green]" if line.expected else "[red]✗[/red]"
        what, outcome = safe(line.what), safe(line.outcome)
        console.print(f"  {mark} {what:<{_WIDTH}} {outcome}")


def _silent(_: Line) -> None:
    """For JSON, which is printed whole at the end."""


def _print_verdict(count: int, wrong: list[Line]) -> None:
    if wrong:
        console.print(f"\n[bold red]{len(wrong)} of {count} came out otherwise[/bold red]")
    else:
        console.print(f"\n[bold green]all {count} came out as expected[/bold green]")
