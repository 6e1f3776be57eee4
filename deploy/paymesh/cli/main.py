"""The `paymesh` command: one module for each group of commands, joined here."""

from __future__ import annotations

import os
import sys

# A refused handshake is an answer here, not something for gRPC's core to complain about.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import typer

from paymesh.cli import (
    attack_corpus,
    attack_fuzz,
    attack_paths,
    call,
    check,
    demo,
    deploy,
    images,
    kind,
    lifecycle,
    policy,
    setup,
    token,
)
from paymesh.cli.output import fail
from paymesh.errors import PaymeshError

_app = typer.Typer(
    name="paymesh",
    help="A zero-trust service mesh for payments: bring it up, look into it, ask it things.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (
    setup,
    lifecycle,
    check,
    call,
    token,
    demo,
    images,
    kind,
    deploy,
    policy,
    attack_corpus,
    attack_paths,
    attack_fuzz,
):
    _module.register(_app)


def app() -> None:
    """Entry point. Exit codes: 0 done, 1 a PaymeshError, 2 wrong usage, 130 interrupted."""
    try:
        _app()
    except PaymeshError as error:
        fail(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        fail("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # `paymesh logs | head` is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
