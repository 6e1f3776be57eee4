"""The five arms: copies of the checkout, edited, and run by the ordinary `paymesh up`.

build    writes the copy of one arm; pure files
running  starts it with accounts, payments and links planted, and takes it all away again
Stage    what runs
"""

from paymesh.attack.arms.build import DATABASE_DOOR, build
from paymesh.attack.arms.run import running
from paymesh.attack.arms.stage import Stage

__all__ = ["DATABASE_DOOR", "Stage", "build", "running"]
