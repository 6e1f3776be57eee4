"""The supervisor's part in policy: the first bundle, and every edit after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from paymesh.errors import StartError
from paymesh.mesh import repository_root
from paymesh.policy import edits, publisher
from paymesh.policy.environment import environment
from paymesh.runtime import pki
from paymesh.runtime.backoff import Backoff
from paymesh.runtime.workspace import Workspace


class Policies:
    """Publishes `policies/` of the checkout into the bundle server's directory."""

    def __init__(self, workspace: Workspace, pdp: Path) -> None:
        self._workspace = workspace
        self._pdp = pdp

    async def publish(self) -> None:
        """The bundle as the checkout stands.

        Raises:
            StartError: it was refused and there is none from before.
        """
        status = await publisher.publish_once(self._settings())
        if status.revision is None:
            raise StartError(f"there is no policy to start with: {status.problem}")

    async def follow(self, say: Callable[[str], None]) -> None:
        """Publishes after every edit until cancelled; comes back after an error of its own.

        Args:
            say: takes a line for the supervisor's log.
        """
        loop, backoff, diary = asyncio.get_running_loop(), Backoff(), Diary(say)
        while True:
            started = loop.time()
            try:
                await edits.follow(self._settings(), told=diary.note)
            except (OSError, RuntimeError) as error:
                say(f"policies are not followed: {error!r}")
            await asyncio.sleep(backoff.after(loop.time() - started))

    def _settings(self) -> publisher.Settings:
        workspace = self._workspace
        return publisher.Settings(
            root=repository_root(),
            directory=workspace.bundles,
            key=pki.ensure_key(workspace.bundle_signing_key),
            environment=environment(
                workspace.mesh, (workspace.paths.issuer / "jwks.json").read_text("utf-8")
            ),
            pdp=self._pdp,
            status_file=workspace.paths.policy_status,
            archive=workspace.paths.policy_archive,
        )


class Diary:
    """What becomes of edits, a line each for the supervisor's log.

    Args:
        say: takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._problem = ""
        self._revision: str | None = None

    def note(self, status: publisher.Status) -> None:
        """Says what is new: each refusal once, its mending, and each policy that came into
        force while this ran.
        """
        if status.problem and status.problem != self._problem:
            lines = "; ".join(line.strip() for line in status.problem.splitlines())
            stays = f"{status.revision} stays in force" if status.revision else "there is none"
            self._say(f"policy refused, {stays}: {lines}")
        elif self._problem and not status.problem:
            self._say(f"policy mended: {status.revision} is in force")
        elif status.revision != self._revision and self._revision is not None:
            self._say(f"policy published: {status.revision} is in force")
        self._problem, self._revision = status.problem, status.revision
