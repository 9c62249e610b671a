"""Images to learn from: MNIST, Fashion-MNIST, CIFAR and digits of packages, memory-mapped."""

from neuroplast.data.images import Images
from neuroplast.data.loading import files, get, load, names, present

__all__ = ["Images", "files", "get", "load", "names", "present"]
