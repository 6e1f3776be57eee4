"""The mesh on this machine: its directories, keys, processes and their supervisor."""

from paymesh.runtime.execute import exec_as

__all__ = ["exec_as"]
