"""Fakes, and helpers to run a service's real server in a test.

FakeObjectPolicy      policy by a table, same contract as pdp.ObjectPolicy
call_context, headers what the sidecar would set
serving               a real server on a temporary socket, and a channel to it
app_config            a configuration for tests
workload_api          a real SPIFFE Workload API server and a test CA
"""

from meshkit.testing.calls import app_config, call_context, headers, serving
from meshkit.testing.policy import FakeObjectPolicy

__all__ = ["FakeObjectPolicy", "app_config", "call_context", "headers", "serving"]
