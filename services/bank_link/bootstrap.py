"""The composition root: the one place where the parts of bank-link meet."""

from __future__ import annotations

import asyncio
import uuid

from bank_link.domain import LinkId
from bank_link.handlers import BankLink
from bank_link.providers.http import ATTEMPT_TIMEOUT_SECONDS, HOST, HttpBankData
from bank_link.servicer import BankLinkServicer
from bank_link.store import PostgresStore
from meshkit.config import AppConfig, ConfigError
from meshkit.database import open_pool
from meshkit.http import egress_client
from meshkit.pdp import ObjectPolicy
from meshkit.server import Registration, serve
from paymesh.bank_link.v1 import bank_link_pb2, bank_link_pb2_grpc

_SWEEP_SECONDS = 30.0


def registration(bank_link: BankLink, config: AppConfig) -> Registration:
    """The gRPC service over the use cases."""
    return Registration(
        add=bank_link_pb2_grpc.add_BankLinkServiceServicer_to_server,
        servicer=BankLinkServicer(bank_link, max_message_bytes=config.max_message_bytes),
        descriptor=bank_link_pb2.DESCRIPTOR.services_by_name["BankLinkService"],
    )


async def main(config: AppConfig) -> None:
    """Serves until the process is told to stop.

    Raises:
        ConfigError: there is no key for the provider, or no egress listener.
    """
    if config.provider_key is None:
        raise ConfigError("PAYMESH_PROVIDER_KEY_FILE is not set.")
    client = egress_client(config, HOST, timeout_seconds=ATTEMPT_TIMEOUT_SECONDS)
    pool = await open_pool(config)
    policy = ObjectPolicy(config)
    bank_link = BankLink(
        store=PostgresStore(pool),
        provider=HttpBankData(client, config.provider_key),
        policy=policy,
        new_id=new_link_id,
    )

    async def sweep() -> None:
        while True:
            await bank_link.finish_removals()
            await asyncio.sleep(_SWEEP_SECONDS)

    await serve(
        [registration(bank_link, config)],
        config,
        on_stop=[policy.close, client.aclose, pool.close],
        background=[sweep],
    )


def new_link_id() -> LinkId:
    """A random UUID: nobody finds a link by counting."""
    return LinkId(uuid.uuid4())
