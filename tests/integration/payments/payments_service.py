"""The payments service as a process of its own, with leases that a test can wait for."""

from __future__ import annotations

from meshkit.config import AppConfig
from meshkit.server import run
from payments.bootstrap import Settings, main

LEASE_SECONDS = 2.0


async def with_short_leases(config: AppConfig) -> None:
    """`payments.bootstrap.main`, in a hurry."""
    await main(
        config,
        Settings(lease_seconds=LEASE_SECONDS, execution_seconds=1.8, poll_seconds=0.1),
    )


if __name__ == "__main__":
    run(with_short_leases)
