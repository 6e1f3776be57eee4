"""A batch job without a sidecar: prints a legal entity's accounts and proves that they add up."""
