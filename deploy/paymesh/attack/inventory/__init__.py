"""Everything that listens in the mesh on one machine: declared by hand, and looked for."""

from paymesh.attack.inventory.declared import Listener, Place
from paymesh.attack.inventory.inventory import Inventory
from paymesh.attack.inventory.owners import Wrong
from paymesh.attack.inventory.search import Listening

__all__ = ["Inventory", "Listener", "Listening", "Place", "Wrong"]
