"""The ledger: double-entry, append-only, one database transaction for each transfer."""
