"""`python -m ledger`, in the workload's runtime directory."""

from ledger.bootstrap import main
from meshkit.server import run

if __name__ == "__main__":
    run(main)
