"""Puts the service together; the only place that knows which part is which."""

from __future__ import annotations

import dataclasses
import datetime as dt

from meshkit.channel import outbound_channel
from meshkit.config import AppConfig, ConfigError
from meshkit.database import open_pool
from meshkit.http import egress_client
from meshkit.pdp import ObjectPolicy
from meshkit.server import Registration, serve
from payments.executor import Executor
from payments.finisher import Finisher
from payments.guard import Guard
from payments.handlers import CreatePayment, FinishWork, RefundPayment
from payments.ledger_client import GrpcLedger
from payments.links_client import GrpcLinks
from payments.providers.card_processor import HOST, TIMEOUT_SECONDS, CardProcessor
from payments.queries import GetPayment, ListPayments
from payments.servicer import PaymentsServicer
from payments.store import PostgresStore
from payments.worker import Worker
from paymesh.payments.v1 import payments_pb2, payments_pb2_grpc


@dataclasses.dataclass(frozen=True)
class Settings:
    """Times. A lease is how long a killed process keeps its idempotency keys in use.

    An execution ends before its lease does, so that in peace there is one
    holder; with two, nothing is done twice all the same.
    """

    lease_seconds: float = 20.0
    execution_seconds: float = 18.0
    poll_seconds: float = 1.0


async def main(config: AppConfig, settings: Settings | None = None) -> None:
    """Serve until told to stop. Raises ConfigError."""
    settings = settings or Settings()
    if config.provider_key is None:
        raise ConfigError("PAYMESH_PROVIDER_KEY_FILE is not set.")
    http = egress_client(config, HOST, timeout_seconds=TIMEOUT_SECONDS)
    pool = await open_pool(config)
    channel = outbound_channel(config)
    policy = ObjectPolicy(config)

    store = PostgresStore(pool, settings.lease_seconds)
    ledger = GrpcLedger(channel)
    finisher = Finisher(store, CardProcessor(http, config.provider_key), ledger, _now)
    guard = Guard(store)
    executor = Executor(settings.execution_seconds)
    servicer = PaymentsServicer(
        executor=executor,
        create=CreatePayment(guard, store, ledger, GrpcLinks(channel), policy, finisher),
        refund=RefundPayment(guard, store, policy, finisher),
        get=GetPayment(store, policy),
        list=ListPayments(store, policy),
    )
    worker = Worker(
        store,
        FinishWork(guard, store, finisher),
        limit_seconds=settings.execution_seconds,
        poll_seconds=settings.poll_seconds,
    )
    registration = Registration(
        add=payments_pb2_grpc.add_PaymentsServiceServicer_to_server,
        servicer=servicer,
        descriptor=payments_pb2.DESCRIPTOR.services_by_name["PaymentsService"],
    )
    await serve(
        [registration],
        config,
        background=[worker.run],
        on_stop=[
            executor.drain,
            policy.close,
            http.aclose,
            lambda: channel.close(None),
            pool.close,
        ],
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
