"""Starts an arm, and takes away everything that it made."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from paymesh.attack.arms.build import build
from paymesh.attack.arms.stage import Stage
from paymesh.attack.loot import gathering
from paymesh.attack.model import Arm
from paymesh.attack.plants import plant
from paymesh.attack.relay import process as relay
from paymesh.errors import ConfigError, PaymeshError, StartError
from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.paths import Paths, default_paths
from paymesh.runtime import launch, lifecycle, ports
from paymesh.runtime.shipping import VARIABLES

# Sockets stand below: $TMPDIR may be too long for them.
_PARENT = Path("/tmp")  # noqa: S108 — the directory's own name is random, and it is mkdtemp's
_PREFIX = "pm-arm-"
# Below the ports that the kernel gives to clients.
_OFFSETS = range(4000, 14000, 200)
_UP_SECONDS = 240.0
_END_SECONDS = 100.0
_PAYMESH = "from paymesh.cli.main import app; app()"

Progress = Callable[[str], None]


@contextlib.contextmanager
def running(
    arm: Arm, *, source: Path | None = None, progress: Progress | None = None
) -> Iterator[Stage]:
    """One arm, up and planted for as long as the block lasts.

    Args:
        arm: which.
        source: the checkout; the one that this code runs from when left out.
        progress: takes a few words on what is being waited for.

    Raises:
        ConfigError: not started as root.
        PaymeshError: the arm does not come up or does not work; one sentence.
    """
    if os.geteuid() != 0:
        raise ConfigError("attack paths are tried under the workloads' own uids: run this as root")
    say = progress or (lambda _: None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_in_order_when_told_to_end())
        sweep()
        place = stack.enter_context(_place())
        root = place / "paymesh"
        say(f"arm {arm}: copying the checkout to {root}")
        build(arm, source or repository_root(), root)
        mesh = _mesh_on_free_ports(root)
        paths = Paths(place / "home", default_paths().cache)
        stack.callback(_stop, paths)
        _bring_up(arm, root, paths, mesh, say)
        say(f"arm {arm}: planting")
        with gathering(paths, mesh) as loot:
            plants = plant(paths, mesh, root)
            found = loot.result()
        yield Stage(arm, root, paths, mesh, plants, found, relay.ports(mesh))
        say(f"arm {arm}: stopping")


@contextlib.contextmanager
def _in_order_when_told_to_end() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, unless somebody sees to them already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    ours = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def sweep() -> None:
    """Ends and removes what runs left behind that were killed."""
    for place in _PARENT.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if place.lstat().st_uid == os.geteuid() and not place.is_symlink():
                _remove_leftover(place)


def _remove_leftover(place: Path) -> None:
    with _locked(place / "lock") as ours:
        if ours:
            with contextlib.suppress(PaymeshError):
                _stop(Paths(place / "home", place))
            shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _place() -> Iterator[Path]:
    """A directory that other uids may enter, and a lock in it for as long as we live."""
    place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PARENT))
    try:
        place.chmod(0o755)
        (place / "lock").touch(mode=0o600)
        with _locked(place / "lock") as ours:
            if not ours:
                raise StartError(f"{place} was taken away by another run: try again")
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether nobody else holds the lock; it is given up with the block or with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _mesh_on_free_ports(root: Path) -> Mesh:
    """The mesh, moved to where nobody listens."""
    for offset in random.sample(_OFFSETS, len(_OFFSETS)):
        mesh = load_mesh(root, port_offset=offset)
        needed = [*ports.needed(mesh), *mesh.ports.values()]
        if all(ports.is_free(mesh.address, port) for port in needed):
            return mesh
    raise StartError("there are not enough free ports: stop what listens from 22000 to 33000")


def _bring_up(arm: Arm, root: Path, paths: Paths, mesh: Mesh, say: Progress) -> None:
    """`paymesh up`, for the copy."""
    unwanted = {*VARIABLES, "OTEL_EXPORTER_OTLP_ENDPOINT"}
    environment = {name: value for name, value in os.environ.items() if name not in unwanted} | {
        "PAYMESH_ROOT": str(root),
        "PAYMESH_HOME": str(paths.home),
        "PAYMESH_CACHE": str(paths.cache),
        "PAYMESH_PORT_OFFSET": str(mesh.port_offset),
        # Health calls are logged at this level only, and the log is what proves them.
        "PAYMESH_LOG_LEVEL": "debug",
    }
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            # Told to stop, it stops what it has started.
            launch.command([sys.executable, "-c", _PAYMESH, "up"], None, death_signal="INT"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # A terminal's Ctrl-C is ours to pass on.
            start_new_session=True,
        )
        late = threading.Timer(_UP_SECONDS, child.send_signal, [signal.SIGINT])
        late.daemon = True
        late.start()
        assert child.stdout is not None  # noqa: S101 — for the type checker
        try:
            for line in child.stdout:
                say(f"arm {arm}: {line.strip()}")
            code = child.wait(_END_SECONDS)
        except BaseException:
            _interrupt(child)
            raise
        finally:
            late.cancel()
            child.stdout.close()
        if code != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace").strip().removeprefix("error: ")
            raise StartError(f"arm {arm} does not come up: {text}")


def _interrupt(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _stop(paths: Paths) -> None:
    lifecycle.stop(paths, lambda _: None)
