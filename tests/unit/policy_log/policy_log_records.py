"""Records in the form of the decision point's, and logs made of them."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paymesh.policy.log import files
from paymesh.policy.log.files import LogFile
from paymesh.policy.log.merge import Reader
from paymesh.policy.log.records import Damage, Entry
from paymesh.policy.log.selection import Selection

SECOND = 1_000_000_000
# 2026-11-21T10:15:30Z
NOON = 1795256130 * SECOND
REVISION = "1795256000000-0123456789ab"


def stamp(time_ns: int) -> str:
    """As the decision point writes it: no zeros at the end of a fraction."""
    moment = dt.datetime.fromtimestamp(time_ns // SECOND, dt.UTC)
    fraction = f".{time_ns % SECOND:09d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def record(time_ns: int = NOON, **changed: Any) -> dict[str, Any]:
    """A record of a customer who may not refund, or one that differs from it."""
    found: dict[str, Any] = {
        "decision_id": str(uuid.uuid4()),
        "time": stamp(time_ns),
        "caller": "gateway",
        "user": {"roles": ["customer"], "sub": "alice", "tenant": "acme"},
        "rpc": "/paymesh.payments.v1.PaymentsService/RefundPayment",
        "token": {"scheme": "bearer", "signature": "valid", "key": "k", "claims": {"sub": "alice"}},
        "input": {"attributes": {"request": {"http": {"headers": {"authorization": None}}}}},
        "result": {"allowed": False, "reason": "USER_ROLE_MISSING"},
        "allowed": False,
        "reason": "USER_ROLE_MISSING",
        "grant": "",
        "revision": REVISION,
        "policy_path": "paymesh/authz/decision",
        "eval_ns": 41234,
    }
    return {**found, **changed}


def line(time_ns: int = NOON, **changed: Any) -> bytes:
    """The record as it is written, without its newline."""
    return json.dumps(
        record(time_ns, **changed), ensure_ascii=False, separators=(",", ":")
    ).encode()


def rotated_name(time_ns: int) -> str:
    """The name that a log gets that is rotated at this moment."""
    moment = dt.datetime.fromtimestamp(time_ns // SECOND, dt.UTC)
    return f"{files.NAME}.{moment:%Y%m%dT%H%M%S}.{time_ns % SECOND:09d}Z"


def write(run: Path, workload: str, lines: Iterable[bytes], name: str = files.NAME) -> Path:
    """A log file of these lines, each ended."""
    directory = run / workload
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def chains(run: Path) -> list[list[LogFile]]:
    """Every workload's files."""
    return [files.chain(run / name) for name in files.workloads(run)]


def read(
    run: Path, selection: Selection | None = None, *, backwards: bool = False, **window: Any
) -> tuple[list[Entry], list[Damage]]:
    """Everything wanted of all logs, and what was damaged."""
    damage: list[Damage] = []
    reader = Reader(selection or Selection(), damage.append, **window)
    found = chains(run)
    return list(reader.newest_first(found) if backwards else reader.oldest_first(found)), damage
