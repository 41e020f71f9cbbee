"""What can be set from the environment: every field is read from SLUICE_<FIELD>."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.device_names import checked_device, checked_devices

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(gt=0, allow_inf_nan=False)]


SHORTEST_TOKEN = 32
"""Characters: 128 bits where each is one of the 16 hexadecimal digits."""


class UnusableToken(ValueError):
    """The administrator's token cannot be read, or is too short."""


def shipped_store() -> Path:
    """The store that ships with Sluice. Found without importing it: that would import torch."""
    spec = find_spec("model_store")
    if spec is None or not spec.submodule_search_locations:
        return Path("model_store/models")
    return Path(next(iter(spec.submodule_search_locations))) / "models"


def location(value: Path | str) -> Path | str:
    """Where a store lies: a URL such as s3://bucket/models stays a text, anything else is a directory."""
    return value if re.match(r"[a-z][a-z0-9+.-]*://", str(value)) and isinstance(value, str) else Path(value)


def cache_folder() -> Path:
    """Where files of stores at URLs are kept unless a setting says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"


class Settings(BaseSettings):
    """The service's settings. Limits bound what one request, and all waiting requests together, may ask for."""

    model_config = SettingsConfigDict(env_prefix="SLUICE_", env_ignore_empty=True, frozen=True)

    host: str = "127.0.0.1"
    """The address to listen on. Beyond this machine, requests need keys; see docs/keys.md."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port to listen on; 0 picks a free one, and the log tells which."""
    hosts: str = ""
    """Names that the service answers to, separated by commas; unset, any. Probes and metrics answer to any."""
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """A port that answers metrics and probes alone; unset, metrics are told on ``port``. With it, only there."""
    metrics_host: str | None = None
    """The address of that port; unset, ``host``."""
    access_log: bool = False
    """Whether each answered request gets a line in the log, without its query. Probes and metrics get none."""
    api_processes: Count | None = None
    """Processes that speak HTTP; unset, one for every four CPUs."""
    store: Annotated[Path | str, BeforeValidator(location)] = Field(default_factory=shipped_store)
    """A directory, or a URL such as `s3://bucket/models`."""
    store_cache: Path = Field(default_factory=cache_folder)
    """Where files of a store at a URL are kept; processes share it."""
    store_cache_bytes: Count = 20 * 2**30
    """The most bytes that it may hold; what nobody uses makes room."""
    trusted_keys: Path | None = None
    """A file of public keys: only models that one of them signed are served; unset, signatures are not looked at."""
    default_model: str | None = None
    """The model of a request that names none; unset, the store's own default."""

    admin_token_file: Path | None = None
    """The file that holds the administrator's token; unset, nobody may load and unload models."""

    device: Annotated[str, AfterValidator(checked_device)] = "auto"
    """`cpu`; `cuda`, which is every GPU with a device process each; one GPU such as `cuda:1`; or `auto`: every GPU, and
    the CPU where there is none."""
    devices: Annotated[str, AfterValidator(checked_devices)] | None = None
    """A device process for each of these, separated by commas, in place of ``device``: `cuda:0,cuda:1`, `cpu,cpu`."""
    keys_file: Path | None = None
    """The file of API keys; unset, requests need none."""
    open: bool = False
    """Whether the service may listen beyond this machine without API keys."""

    threads: Count | None = None
    """The most threads of one operation on the CPU; unset, the CPUs that the service may use, divided among the device
    processes."""
    precision: Literal["auto", "float32"] = "auto"
    """Of nets: ``auto`` computes in bfloat16 where the hardware does and the model was published as fit for it."""
    decoders: Count = 2
    """Threads of an api process that decode bodies and encode answers."""

    max_connections: Count = 4096
    """Connections of one api process; one more takes the place of the one that has waited longest."""
    max_connections_per_address: Count = 1024
    """Of them, from one address."""
    header_timeout: Duration = 10.0
    """Seconds for the head of a request, and for the first byte on a new connection."""
    keep_alive: Count = 75
    """Seconds that a connection without a request is kept after an answer: longer than a balancer keeps its own, of
    which most do for a minute. One that closes just as a request is sent makes the balancer answer 502."""
    body_timeout: Duration = 20.0
    """Seconds without a byte of a body that is awaited."""
    max_body_bytes: Count = 64 * 2**20
    """Bytes of one request's body; a larger one is 413."""
    max_bytes_in_flight: Count = 256 * 2**20
    """Bytes of all bodies that one api process holds; a request beyond them is answered with 429."""
    max_pixels: Count = 2**28
    """Pixels of all pictures of one request: about what a body of 64 MiB holds as photographs."""
    max_items: Count = 10_000
    """Items of one request to score, encode or decode."""
    max_n: Count = 1024
    """Items of one request to sample, and completions of one request to inpaint."""
    max_steps: Count = 2000
    """Steps of an inpainting."""
    max_batch_rows: Count | None = None
    """Rows of one tick; unset, 256 on a CPU and 2,048 on a GPU."""
    cuda_graphs: bool = True
    """On a GPU, whether passes are recorded once and replayed; see docs/gpu.md."""
    queue_item_ticks: Count = 4_000_000
    """Admitted work that may wait, in item-ticks; more is answered with 429."""
    deadline: Duration = 60.0
    """Seconds after which a request is given up with 504. A request may ask for less, not for more."""
    device_patience: Duration = 120.0
    """Seconds without an answer between two ticks after which the device process counts as hung and is started anew."""
    drift_dir: Path | None = None
    """A directory that keeps the martingales of docs/drift.md over restarts; unset, they begin anew with each."""
    live_statistics: str = ""
    """Names of models, separated by commas: statistics of their live traffic are kept in ``drift_dir`` for
    `sluice-calibrate --live`, see docs/drift.md. Never items."""
    max_tasks: Count = 100
    """Inpaintings kept beyond their request; when all of them still run, one more is answered with 429."""
    task_deadline: Duration = 3600.0
    """Seconds after which such an inpainting is given up."""
    task_kept: Seconds = 600.0
    """Seconds for which its result is kept."""
    drain_delay: Seconds = 2.0
    """Seconds between "not ready" and closed listeners, so that a load balancer has noticed."""

    @field_validator("live_statistics")
    @classmethod
    def _need_a_directory(cls, names: str, info: ValidationInfo) -> str:
        if names.strip(" ,") and info.data.get("drift_dir") is None:
            raise ValueError("statistics need a directory to be kept in: set SLUICE_DRIFT_DIR too")
        return names

    @property
    def host_names(self) -> list[str]:
        """The names in ``hosts``, in lower case."""
        return [name for name in (part.strip().lower() for part in self.hosts.split(",")) if name]

    @property
    def live_models(self) -> list[str]:
        """The names in ``live_statistics``."""
        return [name for name in (part.strip() for part in self.live_statistics.split(",")) if name]

    def admin_token(self) -> SecretStr | None:
        """The administrator's token, read anew. Raises UnusableToken."""
        if self.admin_token_file is None:
            return None
        try:
            token = self.admin_token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableToken(f"the admin token file {self.admin_token_file} cannot be read: {error}") from error
        if len(token) < SHORTEST_TOKEN:
            raise UnusableToken(
                f"the admin token file {self.admin_token_file} holds {len(token)} characters; a token has at least "
                f"{SHORTEST_TOKEN}"
            )
        return SecretStr(token)
