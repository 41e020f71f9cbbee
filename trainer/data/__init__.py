"""Data sets: where their items come from, and how they are split for training."""

from trainer.data.cifar10_images import CIFAR10, Cifar10
from trainer.data.dataset import HELD_OUT_SHARE, DataSet, Splits, load, split
from trainer.data.idx_images import FASHION_MNIST, KMNIST, MNIST, IdxImages
from trainer.data.own_data import OwnData, rows_of_schema
from trainer.data.svhn_images import SVHN, Svhn
from trainer.data.toronto_faces import TFD, TorontoFaces
from trainer.data.toys import CIRCLES, MOONS, PARABOLA, SPIRALS, Toy

__all__ = [
    "CIFAR10",
    "CIRCLES",
    "FASHION_MNIST",
    "HELD_OUT_SHARE",
    "KMNIST",
    "MNIST",
    "MOONS",
    "PARABOLA",
    "SPIRALS",
    "SVHN",
    "TFD",
    "Cifar10",
    "DataSet",
    "IdxImages",
    "OwnData",
    "Splits",
    "Svhn",
    "TorontoFaces",
    "Toy",
    "load",
    "rows_of_schema",
    "split",
]
