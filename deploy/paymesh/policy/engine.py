"""Questions to a policy that is not running: `paymesh-pdp decide` and `reads` without a mesh.

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
# In a place's path: every member or element.
EACH = "*"
_READS_SECONDS = 60


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


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a policy looks, or may look: what it reads is never more than its places.

    Attributes:
        document: `input`, or `header` or `claims` of the token in it.
        path: the names on the way there; EACH for every member or element.
        is_whole: it is read in full, also should it be an object or array.
    """

    document: str
    path: tuple[str, ...]
    is_whole: bool

    @property
    def name(self) -> str:
        """As people write it: `attributes.request.http.path`, `token:claims.sub`, `*` for all."""
        if self.document == "input":
            return ".".join(self.path) or EACH
        return ".".join((f"token:{self.document}", *self.path))

    def includes(self, other: Place) -> bool:
        """Whether who reads this reads the other too."""
        above = other.path[: len(self.path)] if self.is_whole else other.path
        return (
            self.document == other.document
            and len(self.path) == len(above)
            and all(own in {EACH, name} for own, name in zip(self.path, above, strict=True))
            and (self.is_whole or not other.is_whole)
        )


def reads(
    pdp: Path, bundle: Path, queries: Sequence[str] = (AUTHZ, OBJECTS)
) -> dict[str, tuple[Place, ...]]:
    """By query, the places that the answer may depend on.

    Args:
        pdp: the decision point's program.
        bundle: as for `decide`.
        queries: references below data.

    Raises:
        SetupError: the policy does not load or compile; the compiler's own words.
    """
    command: list[str | Path] = [pdp, "reads", "--bundle", bundle]
    for query in queries:
        command += ["--query", query]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_READS_SECONDS,
            check=False,
        )
    except OSError as error:
        raise SetupError(f"{pdp} cannot be started: run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"what the policy reads was not found in {_READS_SECONDS} s") from error
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().removeprefix("Error: ")
        raise SetupError(f"what the policy reads was not found: {words}")
    return {
        query: tuple(
            Place(document, path(place["pointer"]), place["whole"])
            for document, places in documents.items()
            for place in places
        )
        for query, documents in json.loads(done.stdout).items()
    }


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


def path(pointer: str) -> tuple[str, ...]:
    """The names in a JSON pointer (RFC 6901)."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


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
