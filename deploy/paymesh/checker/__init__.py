"""Reads the generated files and the sources, and says what does not hold.

Shares no code with `paymesh.render`. `tests/repo` breaks each property in a
copy and sees it named.
"""

from paymesh.checker.finding import Finding
from paymesh.checker.repository import Repository, check, findings, read

__all__ = ["Finding", "Repository", "check", "findings", "read"]
