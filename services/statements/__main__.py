"""`python -m statements --legal-entity acme [-o json] [--since DATE] [--watch SECONDS]`."""

import os
import sys

from meshkit import logging
from meshkit.mesh_client import MeshClient
from statements.cli import Console, main

if __name__ == "__main__":
    logging.configure("info", "statements")
    sys.exit(main(sys.argv[1:], os.environ, MeshClient, Console(sys.stdout, sys.stderr)))
