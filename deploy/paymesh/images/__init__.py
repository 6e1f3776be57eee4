"""The container images of the mesh's own programs, built by whatever engine there is.

engine      docker, podman or buildah: building, saving
context     the few files of the checkout that an engine gets to see, and pip's settings
build       the images, their names, and how each one is made
"""

from paymesh.images.build import IMAGES, Image, Request, build, image_name
from paymesh.images.engine import ENGINES, Engine, find_engine

__all__ = ["ENGINES", "IMAGES", "Engine", "Image", "Request", "build", "find_engine", "image_name"]
