"""A client of Sluice, the REST service for trained normalizing flows."""

from sluice_client.async_client import AsyncClient, AsyncInpainting
from sluice_client.client import Client, Inpainting
from sluice_client.errors import (
    DeadlinePassed,
    NotReached,
    ServiceError,
    SluiceError,
    UnreadableAnswer,
    UnusableInput,
)
from sluice_client.inpainting import Progress
from sluice_client.models import Model, Models
from sluice_client.results import Completions, Decoded, Latents, Maps, Samples
from sluice_client.scores import Scores

__all__ = [
    "AsyncClient",
    "AsyncInpainting",
    "Client",
    "Completions",
    "DeadlinePassed",
    "Decoded",
    "Inpainting",
    "Latents",
    "Maps",
    "Model",
    "Models",
    "NotReached",
    "Progress",
    "Samples",
    "Scores",
    "ServiceError",
    "SluiceError",
    "UnreadableAnswer",
    "UnusableInput",
]
