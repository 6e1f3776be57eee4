"""The server's interceptors, one a file, listed from the outermost to the innermost.

tracing     continues the caller's trace
logging     one line a call
errors      every exception becomes a google.rpc.Status
deadline    a call without a deadline gets one, a long one is cut
context     the sidecar's headers become a CallContext
validation  the request obeys its message's rules
"""

from __future__ import annotations

from collections.abc import Sequence

from meshkit.interceptors.base import ServerInterceptor
from meshkit.interceptors.context import ContextInterceptor
from meshkit.interceptors.deadline import DeadlineInterceptor
from meshkit.interceptors.errors import ErrorsInterceptor
from meshkit.interceptors.logging import LoggingInterceptor
from meshkit.interceptors.tracing import TracingInterceptor
from meshkit.interceptors.validation import ValidationInterceptor


def server_interceptors(trust_domain: str) -> Sequence[ServerInterceptor]:
    """Return them all in their order."""
    return (
        TracingInterceptor(),
        LoggingInterceptor(),
        ErrorsInterceptor(trust_domain),
        DeadlineInterceptor(),
        ContextInterceptor(trust_domain),
        ValidationInterceptor(),
    )
