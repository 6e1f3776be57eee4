"""`python -m bank_link`, in the workload's runtime directory."""

from bank_link.bootstrap import main
from meshkit.server import run

if __name__ == "__main__":
    run(main)
