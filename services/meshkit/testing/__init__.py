"""Fakes, and helpers to run a service's real server in a test.

FakeObjectPolicy      policy by a table, same contract as pdp.ObjectPolicy
call_context, headers what the sidecar would set
serving               a real server on a temporary socket, and a channel to it
app_config            a configuration for tests
pdp.FakePdp           a policy decision point over HTTP
workload_api          a SPIFFE Workload API over gRPC
authority             a CA whose certificates look as SPIRE's do
"""

from meshkit.testing.calls import TRUST_DOMAIN, app_config, call_context, headers, serving
from meshkit.testing.policy import FakeObjectPolicy

__all__ = ["TRUST_DOMAIN", "FakeObjectPolicy", "app_config", "call_context", "headers", "serving"]
