"""Data sets: where their items come from, and how they are split."""

from trainer.data.cifar10 import CIFAR10, Cifar10
from trainer.data.dataset import DataSet, Splits, load
from trainer.data.images import FASHION_MNIST, KMNIST, MNIST, IdxImages
from trainer.data.toys import CIRCLES, MOONS, PARABOLA, SPIRALS, Toy

__all__ = [
    "CIFAR10",
    "CIRCLES",
    "FASHION_MNIST",
    "KMNIST",
    "MNIST",
    "MOONS",
    "PARABOLA",
    "SPIRALS",
    "Cifar10",
    "DataSet",
    "IdxImages",
    "Splits",
    "Toy",
    "load",
]
