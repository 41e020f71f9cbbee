"""Data sets: where their items come from, and how they are split."""

from trainer.data.dataset import DataSet, Splits, load
from trainer.data.images import FASHION_MNIST, KMNIST, MNIST, IdxImages
from trainer.data.toys import CIRCLES, MOONS, PARABOLA, SPIRALS, Toy

__all__ = [
    "CIRCLES",
    "FASHION_MNIST",
    "KMNIST",
    "MNIST",
    "MOONS",
    "PARABOLA",
    "SPIRALS",
    "DataSet",
    "IdxImages",
    "Splits",
    "Toy",
    "load",
]
