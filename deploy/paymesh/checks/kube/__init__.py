"""`paymesh check --kube`: what is wrong with the mesh in a cluster, and how to mend it.

One module for each section; each compares what runs with what the checkout builds, or asks
the running thing itself.
"""

from paymesh.checks.kube.model import Look
from paymesh.checks.kube.run import SECTIONS, run

__all__ = ["SECTIONS", "Look", "run"]
