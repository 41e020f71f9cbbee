"""What can be set from the environment: every field is read from SLUICE_<FIELD>."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from flows.nets.precision import multiplies_bfloat16
from model_store import default_root

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class UnusableToken(ValueError):
    """The administrator's token cannot be read, or is empty."""


class Settings(BaseSettings):
    """The service's settings; limits bound what one request, and all waiting requests together, may ask for."""

    model_config = SettingsConfigDict(env_prefix="SLUICE_", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    store: Path = Field(default_factory=default_root)
    default_model: str | None = None
    """The model of a request that names none; unset, the store's own default."""

    admin_token_file: Path | None = None
    """The file that holds the administrator's token; unset, nobody may load and unload models."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count | None = None
    """Threads of one operation on the CPU; unset, what PyTorch takes."""
    precision: Literal["auto", "float32"] = "auto"
    """Of nets: ``auto`` computes in bfloat16 where the hardware does and the model was published as fit for it."""
    decoders: Count = 2
    """Threads that decode bodies and encode answers."""

    max_body_bytes: Count = 64 * 2**20
    max_items: Count = 10_000
    """Items of one request to score, encode or decode."""
    max_n: Count = 1024
    """Items of one request to sample, and completions of one request to inpaint."""
    max_steps: Count = 2000
    max_batch_rows: Count = 256
    """Rows of one tick."""
    queue_item_ticks: Count = 4_000_000
    """How much admitted work may wait, in item-ticks; more is answered with 429."""
    deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """Seconds after which a request is given up with 504. A request may ask for less, not for more."""
    max_tasks: Count = 100
    """Inpaintings kept beyond their request; when all of them still run, one more is answered with 429."""
    task_deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600.0
    """Seconds after which such an inpainting is given up."""
    task_kept: Seconds = 600.0
    """Seconds for which its result is kept."""
    drain_delay: Seconds = 2.0
    """Seconds between "not ready" and closed listeners, so that a load balancer has noticed."""

    def torch_device(self) -> torch.device:
        """The device to compute on: the only place that asks whether there is a GPU."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def bfloat16(self) -> bool:
        """Whether nets may compute in bfloat16: allowed, and fast on the device."""
        return self.precision == "auto" and multiplies_bfloat16(self.torch_device())

    def admin_token(self) -> SecretStr | None:
        """The administrator's token, read anew. Raises UnusableToken."""
        if self.admin_token_file is None:
            return None
        try:
            token = self.admin_token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableToken(f"the admin token file {self.admin_token_file} cannot be read: {error}") from error
        if not token:
            raise UnusableToken(f"the admin token file {self.admin_token_file} is empty")
        return SecretStr(token)
