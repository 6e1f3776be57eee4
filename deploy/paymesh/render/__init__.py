"""Generated files: Envoy's configuration, SPIRE's entries, protobuf code.

render_all   repository-relative path → contents, without touching the checkout
write        brings a checkout up to date
stale        what `write` would change
readdress    a committed Envoy configuration with its ports moved
with_tracing a committed Envoy configuration that exports spans
"""

from paymesh.render.envoy import ENVOY_ARGS
from paymesh.render.files import render_all, stale, to_yaml, write
from paymesh.render.overlay import readdress, with_tracing

__all__ = [
    "ENVOY_ARGS",
    "readdress",
    "render_all",
    "stale",
    "to_yaml",
    "with_tracing",
    "write",
]
