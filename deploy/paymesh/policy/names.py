"""What bundles are called, by those who sign, serve, fetch and verify them."""

from __future__ import annotations

FILE_NAME = "paymesh.tar.gz"
KEY_ID = "paymesh-bundle"
# A candidate, which nobody enforces: another file and another key.
SHADOW_FILE_NAME = "shadow.tar.gz"
SHADOW_KEY_ID = "paymesh-shadow"
# The largest that is signed, served or read.
MAX_BUNDLE_BYTES = 8 << 20
