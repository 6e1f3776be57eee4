"""`python -m payments`: the payments service, configured by PAYMESH_* variables."""

from __future__ import annotations

from meshkit.server import run
from payments.bootstrap import main

if __name__ == "__main__":
    run(main)
