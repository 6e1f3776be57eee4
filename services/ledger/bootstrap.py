"""The composition root: the one place where the parts of the ledger meet."""

from __future__ import annotations

from ledger.handlers import Ledger
from ledger.servicer import LedgerServicer
from ledger.store import PostgresStore
from meshkit.config import AppConfig
from meshkit.database import open_pool
from meshkit.pdp import ObjectPolicy
from meshkit.server import Registration, serve
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc


def registration(ledger: Ledger, config: AppConfig) -> Registration:
    """The gRPC service over the use cases."""
    return Registration(
        add=ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
        servicer=LedgerServicer(ledger, max_message_bytes=config.max_message_bytes),
        descriptor=ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
    )


async def main(config: AppConfig) -> None:
    """Serves until the process is told to stop."""
    pool = await open_pool(config)
    policy = ObjectPolicy(config)
    ledger = Ledger(store=PostgresStore(pool), policy=policy)
    await serve([registration(ledger, config)], config, on_stop=[policy.close, pool.close])
