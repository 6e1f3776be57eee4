"""Questions to a policy that is not running: `paymesh-pdp decide` without a mesh.

A question is `{"id", "input", "token", "time"}` with input and token as the decision
log records them; neither holds a secret, and none is needed. See `paymesh-pdp decide
--help` for how a token is made anew.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from paymesh.errors import SetupError

AUTHZ = "data.paymesh.authz.decision"
OBJECTS = "data.paymesh.objects.decision"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the policy says to one question.

    Attributes:
        id: the question's.
        values: by query; an undefined value is not there.
        partial: JSON pointers to what the policy reads and the question left out.
        trace: how it came to that, when asked for; for people.
        error: what went wrong; empty when nothing did.
    """

    id: str
    values: Mapping[str, Any]
    partial: tuple[str, ...]
    trace: str
    error: str


def decide(
    pdp: Path,
    bundle: Path,
    questions: Iterable[Mapping[str, Any]],
    queries: Sequence[str] = (AUTHZ,),
    *,
    trace: bool = False,
) -> Iterator[Answer]:
    """The answers, in the questions' order.

    Args:
        pdp: the decision point's program.
        bundle: a directory as `candidate.unpack` makes it, or a packed bundle, whose
            signature is not looked at.
        questions: mappings with `input`, and if wanted `id`, `token` (or None) and `time`
            (RFC 3339; now when left out).
        queries: Rego that is asked of each input.
        trace: with each answer, how the policy came to it.

    Raises:
        SetupError: the policy does not load or compile; the compiler's own words.
    """
    command: list[str | Path] = [pdp, "decide", "--bundle", bundle]
    for query in queries:
        command += ["--query", query]
    if trace:
        command.append("--trace")
    # Files and not pipes, so that nobody waits for the other to read.
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as problems:
        for question in questions:
            asked.write(json.dumps(question, separators=(",", ":")).encode() + b"\n")
        asked.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=asked, stdout=subprocess.PIPE, stderr=problems
            )
        except OSError as error:
            raise SetupError(f"{pdp} cannot be started: run `make setup`") from error
        with process:
            try:
                assert process.stdout is not None  # noqa: S101 — PIPE
                yield from map(_answer, process.stdout)
            except BaseException:  # whoever asked has stopped to listen
                process.kill()
                raise
        if process.returncode != 0:
            raise SetupError(f"the policy gave no answers: {_words(problems)}")


def _answer(line: bytes) -> Answer:
    found = json.loads(line)
    return Answer(
        id=found["id"],
        values=found["values"] or {},
        partial=tuple(found.get("partial", ())),
        trace=found.get("trace", ""),
        error=found.get("error", ""),
    )


def _words(problems: IO[bytes]) -> str:
    problems.seek(0)
    return problems.read().decode(errors="replace").strip().removeprefix("Error: ")
