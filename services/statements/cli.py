"""The command: arguments, one round or many, exit status.

Exit status: 0 every account adds up; 1 one does not; 2 wrong arguments; 3 the
ledger could not be read, or an account could not be verified; 78 the
environment does not say what it must. With --watch: 0 when told to stop.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TextIO

import grpc

from meshkit.errors import from_rpc
from meshkit.mesh_client import MeshIdentityError
from statements import output
from statements.reader import LedgerReader
from statements.statement import Verdict

EXIT_OK = 0
EXIT_DOES_NOT_ADD_UP = 1
EXIT_NOT_READ = 3
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h

ADDRESS = "PAYMESH_LEDGER_ADDRESS"
WORKLOAD_API = "SPIFFE_ENDPOINT_SOCKET"


@dataclasses.dataclass(frozen=True)
class Console:
    """Where statements go, and where goes what went wrong."""

    out: TextIO
    err: TextIO


# meshkit.mesh_client.MeshClient: callee and address to a channel.
Client = Callable[[str, str], AbstractContextManager[grpc.Channel]]


def main(
    arguments: Sequence[str], environment: Mapping[str, str], client: Client, console: Console
) -> int:
    """Runs the command and returns its exit status."""
    options = _parser().parse_args(arguments)
    for variable in (ADDRESS, WORKLOAD_API):
        if not environment.get(variable):
            console.err.write(f"{variable} is not set.\n")
            return EXIT_CONFIG
    try:
        with client("ledger", environment[ADDRESS]) as channel:
            reader = LedgerReader(channel)
            if options.watch is None:
                return _round(reader, options, console)
            return _watch(reader, options, console)
    except MeshIdentityError as error:
        console.err.write(f"{error}\n")
        return EXIT_NOT_READ


def _watch(reader: LedgerReader, options: argparse.Namespace, console: Console) -> int:
    """One round after another over one channel, until SIGTERM or SIGINT."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        while not stop.is_set():
            try:
                _round(reader, options, console)
            except MeshIdentityError as error:
                # The next SVID may be on its way.
                console.err.write(f"{error}\n")
            stop.wait(options.watch)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return EXIT_OK


def _round(reader: LedgerReader, options: argparse.Namespace, console: Console) -> int:
    """Reads and prints everything once."""
    try:
        statements = list(reader.statements(options.legal_entity, options.since))
    except grpc.RpcError as rpc_error:
        error = from_rpc(rpc_error)
        console.err.write(
            f"The ledger could not be read: {error.code.name} {error.reason} {error.message}\n"
        )
        return EXIT_NOT_READ
    render = output.as_json if options.output == "json" else output.as_text
    console.out.write(render(options.legal_entity, dt.datetime.now(dt.UTC), statements) + "\n")
    console.out.flush()
    verdicts = {statement.verdict for statement in statements}
    if Verdict.DOES_NOT_ADD_UP in verdicts:
        return EXIT_DOES_NOT_ADD_UP
    return EXIT_NOT_READ if Verdict.UNSETTLED in verdicts else EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="statements",
        description="Prints the statements of a legal entity's accounts and verifies that the "
        "entries add up to the balances.",
    )
    parser.add_argument("--legal-entity", required=True, help="whose accounts")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument(
        "--since",
        type=_date,
        metavar="YYYY-MM-DD",
        help="first day (UTC); what came before is the opening balance",
    )
    parser.add_argument(
        "--watch",
        type=_seconds,
        metavar="SECONDS",
        help="again and again with this pause, until told to stop",
    )
    return parser


def _date(text: str) -> dt.datetime:
    return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise ValueError(text)
    return seconds
