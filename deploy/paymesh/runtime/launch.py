"""How a program is started with nothing that it does not need.

`setpriv` (util-linux) sets numbers, drops every capability, forbids gaining
new ones and asks the kernel to end the program with its parent, between fork
and exec and without running Python there.
"""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from paymesh.errors import SetupError, StartError
from paymesh.runtime.accounts import Account, may_drop_bounding_set

_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_OPEN_FILES = 16384
_MAX_PROCESSES_PER_UID = 1024


def command(
    argv: Sequence[str | Path],
    account: Account | None,
    *,
    death_signal: str = "TERM",
    namespaces: Mapping[str, Path] | None = None,
) -> list[str]:
    """`argv` wrapped so that it runs as `account` without privileges.

    Args:
        argv: an absolute path and its arguments.
        account: None keeps the uid.
        death_signal: what the program gets when the process that started it ends.
        namespaces: what it runs in, `net` and `mount`, as files that root may open; its
            working directory is the caller's all the same.

    Raises:
        SetupError: the machine has no setpriv, prlimit or nsenter.
    """
    limits: list[str] = []
    entered = [f"--{kind}={file}" for kind, file in (namespaces or {}).items()]
    if entered:
        entered = [_program("nsenter"), *entered, "--wd=.", "--"]
    options = ["--no-new-privs", "--pdeathsig", death_signal]
    if account is not None:
        groups = ",".join(str(group) for group in account.groups)
        options += [f"--reuid={account.uid}", f"--regid={account.gid}"]
        options += [f"--groups={groups}" if groups else "--clear-groups"]
        options += ["--inh-caps=-all", "--ambient-caps=-all"]
        options += ["--bounding-set=-all"] if may_drop_bounding_set() else []
        # Only where the uid is its own: the kernel counts all processes of a uid.
        limits = [_program("prlimit"), f"--nproc={_MAX_PROCESSES_PER_UID}", "--"]
    program = [os.fspath(argument) for argument in argv]
    return [*entered, *limits, _program("setpriv"), *options, "--", *program]


def minimal_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every child gets; nothing is inherited, so no secret of the user's leaks in."""
    return {"PATH": _SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": str(home), **(extra or {})}


def limit_resources() -> None:
    """Lowers this process's limits, which its children inherit: no core dumps with keys
    in them, and a bounded number of files.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)


async def run_tool(
    argv: Sequence[str | Path],
    account: Account | None,
    *,
    directory: Path,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 60,
) -> str:
    """Runs a program to its end and returns its standard output.

    Raises:
        StartError: it failed or took too long; the last line it wrote says why.
    """
    name = Path(argv[0]).name
    process = await asyncio.create_subprocess_exec(
        *command(argv, account, death_signal="KILL"),
        cwd=directory,
        env=minimal_environment(directory, environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        umask=0o077,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            output, errors = await process.communicate(stdin.encode())
    except TimeoutError:
        raise StartError(f"{name} took longer than {timeout_seconds:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = (errors or output).decode(errors="replace").strip().splitlines()
        last = said[-1] if said else "no message"
        raise StartError(f"{name} exited with {process.returncode}: {last}")
    return output.decode(errors="replace")


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    new = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (new, new))


@functools.cache
def _program(name: str) -> str:
    found = shutil.which(name, path=_SYSTEM_PATH)
    if found is None:
        raise SetupError(f"{name} is missing: install util-linux")
    return found
