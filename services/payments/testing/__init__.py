"""Stand-ins for the tests, which pass the same contract tests as the real things.

MemoryStore               ports.Store, with a clock that the test moves
MemoryProvider            a provider that keeps idempotency keys as long as it promises
MemoryLedger, MemoryLinks the other services
World                     all of them and the use cases, put together
Stepped                   a call that a test moves on from one await to the next, or kills
"""

from payments.testing.partners import Fault, MemoryLedger, MemoryLinks, MemoryProvider
from payments.testing.stepping import Stepped, Turns
from payments.testing.store import MemoryStore
from payments.testing.world import World

__all__ = [
    "Fault",
    "MemoryLedger",
    "MemoryLinks",
    "MemoryProvider",
    "MemoryStore",
    "Stepped",
    "Turns",
    "World",
]
