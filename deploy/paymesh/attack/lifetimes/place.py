"""A running mesh as a thief and who measures him see it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format, message_factory

from paymesh import dial
from paymesh.attack.arms.policy import CLAIM_HEADER
from paymesh.attack.lifetimes.attempts import Attempt, Try
from paymesh.attack.model import Arm
from paymesh.attack.uids import THIEF, stranger_uid
from paymesh.calls import Catalogue
from paymesh.errors import StartError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import launch, programs
from paymesh.runtime.accounts import Account

_START_SECONDS = 10.0
_LOG_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Place:
    """Where it is tried, in which arm."""

    arm: Arm
    paths: Paths
    mesh: Mesh

    def thief(self, *groups: int) -> Account:
        """A uid of its own, in no group of the mesh unless it is given one."""
        uid = stranger_uid(self.mesh, THIEF)
        return Account(uid, uid, groups)

    def warm_up(self) -> None:
        """Makes the copies that the thief's programs run from, before anything is timed."""
        programs.load_python(self.paths, separate_uids=True)

    def attempt(
        self,
        callee: str,
        rpc: str,
        body: bytes,
        *,
        until: float,
        svid: dial.Svid | None = None,
        claim: str | None = None,
        token: str | None = None,
    ) -> Attempt:
        """A call at a workload's own listener.

        Args:
            callee: whose listener.
            rpc: the whole path.
            body: the serialised request.
            until: when to stop, in seconds since the epoch.
            svid: shown in the handshake.
            claim: a SPIFFE ID, for where nobody asks for an SVID.
            token: an end user's.
        """
        headers = [("authorization", f"Bearer {token}")] if token else []
        headers += [(CLAIM_HEADER, claim)] if claim else []
        shown: dict[str, str] = {}
        if svid is not None:
            shown = {"certificates": svid.certificates.decode(), "key": svid.key.decode()}
        plaintext = self.arm == "A" and self.mesh.workloads[callee].kind != "gateway"
        return Attempt(
            address=f"{self.mesh.address}:{self.mesh.workloads[callee].port}",
            authority=f"{callee}.{self.mesh.trust_domain}",
            path=rpc,
            body=body.hex(),
            until=until,
            headers=tuple(headers),
            tls=None if plaintext else shown,
        )

    def carry_out(self, *attempts: Attempt) -> list[list[Try]]:
        """What came of each attempt, in their order; all run at the same time, as the thief.

        Raises:
            StartError: the program failed.
        """
        text = self.run(
            ["-m", "paymesh.attack.lifetimes.attempts"],
            self.thief(),
            stdin=json.dumps([dataclasses.asdict(attempt) for attempt in attempts]),
            seconds=max(attempt.until for attempt in attempts) - time.time(),
        )
        return [[Try(**fields) for fields in tries] for tries in json.loads(text)]

    def run(
        self,
        arguments: Sequence[str],
        account: Account,
        *,
        stdin: str = "",
        seconds: float = 0.0,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Standard output of the mesh's Python, run to its end under some uid.

        Raises:
            StartError: it failed, or took longer than `seconds` and some to start.
        """
        python = programs.load_python(self.paths, separate_uids=True)
        variables = {**python.environment(tools=True), **(environment or {})}
        limit = seconds + _START_SECONDS
        try:
            done = subprocess.run(
                launch.command([python.executable, *arguments], account, death_signal="KILL"),
                cwd="/",
                env=launch.minimal_environment(Path("/"), variables),
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=limit,
                umask=0o077,
            )
        except subprocess.TimeoutExpired:
            raise StartError(f"a measurement took longer than {limit:.0f} s") from None
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise StartError(f"a measurement failed: {last[0]}")
        return done.stdout

    def executed(self, workload: str, tries: Iterable[Try]) -> int:
        """How many of the tries the app itself says that it carried out.

        Waits for lines that are under way: until there is one for each answer OK.
        """
        wanted = {one.trace_id for one in tries if one.outcome == "OK"}
        every = {one.trace_id for one in tries}
        deadline = time.monotonic() + _LOG_SECONDS
        while True:
            found = _carried_out(self.paths.log(f"{workload}-app")) & every
            if wanted <= found or time.monotonic() > deadline:
                return len(found)
            time.sleep(0.05)


def encoded(rpc: str, request: Mapping[str, Any]) -> tuple[str, bytes]:
    """The whole path of `SERVICE/METHOD`, and a request of it, serialised."""
    method = Catalogue.load().method(rpc)
    message = json_format.ParseDict(
        dict(request), message_factory.GetMessageClass(method.input_type)()
    )
    return f"/{method.containing_service.full_name}/{method.name}", message.SerializeToString()


def _carried_out(log: Path) -> set[str]:
    """Trace ids of the calls that ended well."""
    found = set()
    for line in log.read_bytes().splitlines():
        if b'"event": "call"' in line and b'"code": "OK"' in line:
            try:
                found.add(str(json.loads(line).get("trace_id")))
            except ValueError:
                continue  # the last line may be under way
    return found
