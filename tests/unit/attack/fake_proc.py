"""A directory of /proc's form, for processes that nobody has to start."""

from __future__ import annotations

import dataclasses
import struct
import sys
from pathlib import Path

_HEADER = "  header\n"


@dataclasses.dataclass
class FakeProc:
    """Processes by pid, and what listens in each network namespace."""

    root: Path
    _networks: dict[int, str] = dataclasses.field(default_factory=dict)
    _rows: dict[tuple[str, str], list[str]] = dataclasses.field(default_factory=dict)

    def process(
        self,
        pid: int,
        *,
        parent: int = 1,
        uid: int = 0,
        name: str = "python",
        argv: tuple[str, ...] = (),
        environ: str = "",
        cwd: Path = Path("/"),
        sockets: tuple[int, ...] = (),
        network: str = "net:[1]",
        pids: str = "pid:[1]",
        users: str = "user:[1]",
    ) -> None:
        """Adds a process with one thread."""
        directory = self.root / str(pid)
        task = directory / "task" / str(pid)
        for place in (directory, task):
            (place / "fd").mkdir(parents=True)
            (place / "ns").mkdir()
            (place / "ns" / "net").symlink_to(network)
            (place / "fd" / "0").symlink_to("/dev/null")
            for number, inode in enumerate(sockets, start=3):
                (place / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
        (directory / "ns" / "pid").symlink_to(pids)
        (directory / "ns" / "user").symlink_to(users)
        (directory / "cwd").symlink_to(cwd)
        (directory / "cmdline").write_text("\0".join(argv))
        (directory / "environ").write_text(environ)
        (directory / "status").write_text(
            f"Name:\t{name}\nState:\tS (sleeping)\nPPid:\t{parent}\n"
            f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
        )
        self._networks[pid] = network

    def internet(
        self,
        table: str,
        address: bytes,
        port: int,
        inode: int,
        *,
        uid: int = 0,
        state: str = "0A",
        network: str = "net:[1]",
    ) -> None:
        """Adds a row of net/tcp, net/udp and the like; `address` is in network order."""
        words = struct.unpack(
            f"{'<' if sys.byteorder == 'little' else '>'}{len(address) // 4}I", address
        )
        local = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
        row = (
            f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000"
            f" {uid:>5}        0 {inode} 1 0000000000000000 100 0 0 10 0"
        )
        self._rows.setdefault((network, table), []).append(row)

    def unix(
        self,
        path: str,
        inode: int,
        *,
        flags: str = "00010000",
        kind: str = "0001",
        network: str = "net:[1]",
    ) -> None:
        """Adds a row of net/unix; an abstract name begins with `@`."""
        row = f"0000000000000000: 00000002 00000000 {flags} {kind} 01 {inode:>5} {path}"
        self._rows.setdefault((network, "unix"), []).append(row)

    def write(self) -> None:
        """Writes the tables where each process has them, and who looks."""
        own = self.root / "self" / "ns"
        own.mkdir(parents=True, exist_ok=True)
        for kind in ("pid", "user"):
            (own / kind).unlink(missing_ok=True)
            (own / kind).symlink_to(f"{kind}:[1]")
        for pid, network in self._networks.items():
            for place in (self.root / str(pid), self.root / str(pid) / "task" / str(pid)):
                (place / "net").mkdir()
                for (own, table), rows in self._rows.items():
                    if own == network:
                        (place / "net" / table).write_text(_HEADER + "\n".join(rows) + "\n")
