"""A small classifier of pictures: does a completion still read as what it was?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def train_classifier(images: Tensor, labels: Tensor, epochs: int = 2, batch: int = 128) -> nn.Module:
    """A convolutional net on pictures (N, 28, 28) uint8 with labels (N,), 10 classes; the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
        optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(images)), batch):
                loss = functional.cross_entropy(net(_planes(images[rows])), labels[rows].long())
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
    return net.requires_grad_(False)


def agreement(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of pictures (N, 28, 28) uint8 that the classifier gives their label."""
    return float((net(_planes(images)).argmax(dim=1) == labels).double().mean())


def _planes(images: Tensor) -> Tensor:
    return images[:, None].float() / 255
