"""`paymesh check`: what is wrong with the mesh on this machine, and how to mend it.

One module for each section; each asks the running thing itself rather than
what started it.
"""

from paymesh.checks.model import Context, Finding, Level
from paymesh.checks.run import SECTIONS, run

__all__ = ["SECTIONS", "Context", "Finding", "Level", "run"]
