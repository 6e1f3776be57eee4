"""Recorded decisions, taken again by another policy: `paymesh-pdp replay`.

The program reads the logs itself, a million records in seconds, and answers each
question at its own time and in the environment of its own revision. What is here
finds the logs and turns the program's answer into types.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paymesh.errors import SetupError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.policy import bundle
from paymesh.policy.contents import ENVIRONMENT
from paymesh.policy.log import files as logs
from paymesh.policy.log import moments, writers
from paymesh.policy.log.records import Damage
from paymesh.runtime import pki

DENY_TO_ALLOW, ALLOW_TO_DENY, REASON, GRANT = KINDS = (
    "deny_to_allow",
    "allow_to_deny",
    "reason",
    "grant",
)
# Records that another policy has nothing to say to. Any other that is skipped ought to be judged.
NO_QUESTIONS = frozenset(
    {
        "outside the time that was asked for",
        "no decision of a call or an object",
        "the policy failed",
        "the request could not be read",
        "refused because it could not be recorded",
    }
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A decision in short; `grant` is empty where none applied."""

    reason: str
    grant: str


@dataclasses.dataclass(frozen=True)
class Change:
    """Decisions that the other policy takes differently, all in the same way.

    Attributes:
        kind: one of KINDS.
        roles: of the verified end user; none where there was no user.
        first, last: RFC 3339, UTC.
        examples: ids of the earliest of them.
    """

    kind: str
    policy_path: str
    caller: str
    rpc: str
    roles: tuple[str, ...]
    before: Outcome
    after: Outcome
    count: int
    first: str
    last: str
    examples: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Cut:
    """A line of which only a part was written; whoever wrote it was killed.

    Attributes:
        is_last: nothing comes after it, not even the newline.
    """

    file: str
    offset: int
    bytes: int
    is_last: bool


@dataclasses.dataclass(frozen=True)
class Report:
    """What came of a replay.

    Attributes:
        records: in the time that was asked for.
        judged: of which both decisions are known.
        distinct: how many evaluations that took, the others being like one of them.
        skipped: why and how many.
        partial: records that are masked where the other policy looks.
        partial_examples: ids of the earliest of them.
        environment_missing: judged in the candidate's own environment, since that of their
            revision is not archived.
    """

    records: int
    judged: int
    distinct: int
    unchanged: int
    skipped: Mapping[str, int]
    partial: int
    partial_examples: tuple[str, ...]
    changes: tuple[Change, ...]
    cut: tuple[Cut, ...]
    environment_missing: int
    seconds: float

    def of(self, kind: str) -> list[Change]:
        """The changes of one kind, the most frequent first."""
        return [change for change in self.changes if change.kind == kind]


def log_files(
    paths: Paths,
    workload: str | None = None,
    since_ns: int | None = None,
    report: Callable[[Damage], None] = lambda _: None,
) -> list[logs.LogFile]:
    """The decision logs of a mesh, rotated ones too, that may hold later records.

    Args:
        paths: the mesh's home.
        workload: the only one whose logs are wanted.
        since_ns: no earlier records are wanted.
        report: told what has a log's name and is none.

    Raises:
        ConfigError: they may not be read.
    """
    is_written = writers.is_written(paths)
    found = [
        file
        for name in logs.workloads(paths.run)
        if workload in {None, name}
        for file in logs.chain(paths.run / name, is_written)
        if since_ns is None or file.rotated_ns is None or file.rotated_ns >= since_ns
    ]
    for file in found:
        if file.unfit:
            report(Damage(file, 0, file.size, cut=False))
    return [file for file in found if not file.unfit]


def in_force(paths: Paths) -> bundle.Bundle | None:
    """The bundle that the mesh's own decision points have, if one is published."""
    if not paths.bundle_signing_key.exists():
        return None
    key = pki.ensure_key(paths.bundle_signing_key).public_key()
    return bundle.published(paths.bundles, key)


def environment(paths: Paths, mesh: Mesh) -> dict[str, Any]:
    """What a candidate is told of the mesh: as the policy in force is, but without its
    issuer's keys where there is none in force. Keys come with the records.
    """
    published = in_force(paths)
    if published is not None:
        found: dict[str, Any] = json.loads(published.files[ENVIRONMENT])
        return found
    return {
        "trust_domain": mesh.trust_domain,
        "namespace": mesh.namespace,
        "workloads": sorted(mesh.workloads),
        "users": {
            "issuer": mesh.users.issuer,
            "audience": mesh.users.audience,
            "jwks": json.dumps({"keys": []}),
        },
    }


def run(
    pdp: Path,
    candidate: Path,
    files: Sequence[Path | str],
    *,
    environments: Path | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    examples: int = 3,
    is_regular: bool = False,
    read: Callable[[int], None] = lambda _: None,
) -> Report:
    """Judges the records of decision logs by another policy.

    Args:
        pdp: the decision point's program.
        candidate: the policy, as `candidate.unpack` makes it.
        files: decision logs; `-` is the standard input.
        environments: the archive of published bundles, or a directory of `<revision>.json`.
        since_ns: no earlier records; Unix time in nanoseconds.
        until_ns: only earlier records.
        examples: decision ids with each change.
        is_regular: refuse links, pipes and devices: for a directory that others can write to.
        read: told how many bytes were read so far.

    Raises:
        SetupError: the policy does not compile, or a file cannot be read.
    """
    options: dict[str, Any] = {
        "--bundle": candidate,
        "--environments": environments,
        "--since": _rfc3339(since_ns),
        "--until": _rfc3339(until_ns),
        "--examples": examples,
    }
    careful = ["--regular"] if is_regular else []
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    # "--": a file may have any name.
    command = [pdp, "replay", "--progress", *careful, *given, "--", *files]
    with tempfile.TemporaryFile() as answer, _started(command, answer) as process:
        words = _watch(process, read)
        if process.wait() != 0:
            raise SetupError(f"the logs were not replayed: {words.removeprefix('Error: ')}")
        answer.seek(0)
        return _report(json.load(answer))


@contextlib.contextmanager
def _started(command: Sequence[Any], output: Any) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be started: run `make setup`") from error
    with process:
        try:
            yield process
        except BaseException:  # whoever asked has stopped to listen
            process.kill()
            raise


def _watch(process: subprocess.Popen[str], read: Callable[[int], None]) -> str:
    """Passes the progress on, and returns whatever else the program says."""
    words: list[str] = []
    for line in process.stderr or ():
        if line.strip().isdecimal():
            read(int(line))
        else:
            words.append(line)
    return "".join(words).strip()


def without_unfinished(report: Report, files: Iterable[logs.LogFile]) -> Report:
    """Without the lines that somebody is still writing: they are not cut."""
    growing = {str(file.path) for file in files if file.may_grow}
    cut = tuple(part for part in report.cut if not (part.is_last and part.file in growing))
    return dataclasses.replace(report, cut=cut)


def _rfc3339(moment_ns: int | None) -> str | None:
    if moment_ns is None:
        return None
    second, nanoseconds = divmod(moment_ns, moments.SECOND_NS)
    moment = dt.datetime.fromtimestamp(second, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def _report(found: Mapping[str, Any]) -> Report:
    return Report(
        **{
            **found,
            "changes": tuple(_change(change) for change in found["changes"]),
            "cut": tuple(Cut(**part) for part in found["cut"]),
            "partial_examples": tuple(found["partial_examples"]),
        }
    )


def _change(found: Mapping[str, Any]) -> Change:
    return Change(
        **{
            **found,
            "roles": tuple(found["roles"]),
            "before": Outcome(**found["before"]),
            "after": Outcome(**found["after"]),
            "examples": tuple(found["examples"]),
        }
    )
