"""What `serve run` and `serve deploy` build: one deployment, whose replicas are each a whole service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import RequestRouterConfig

from service.ray_serve.replica import Replica
from service.ray_serve.routing import ToReplica
from service.settings import Settings

ONGOING = 4096
"""Requests that a replica holds at once before Ray holds them back: so many that its own queue refuses first."""

_NOT_HERE = {
    "host": "Ray's proxy listens: http_options of the Serve config",
    "port": "Ray's proxy listens: http_options of the Serve config",
    "api_processes": "each replica is one: num_replicas of the deployment",
    "metrics_port": "/metrics is answered by Ray's proxy",
    "metrics_host": "/metrics is answered by Ray's proxy",
    "drift_dir": "a replica has no name that outlives it, under which its martingales could be found again",
}
"""Settings that have no meaning in a replica, and what has."""


class UnusableArgument(ValueError):
    """An argument of the application that a replica cannot be built with."""


def settings_of(arguments: Mapping[str, Any]) -> Settings:
    """Settings from the application's arguments; what they leave out is read from SLUICE_ variables here.

    Raises UnusableArgument, which names the argument.
    """
    for name in arguments:
        if name in _NOT_HERE:
            raise UnusableArgument(f"{name}: {_NOT_HERE[name]}")
        if name not in Settings.model_fields:
            raise UnusableArgument(f"{name}: there is no such setting; see docs/reference/settings.md")
    try:
        settings = Settings(**arguments)
    except ValidationError as error:
        raise UnusableArgument(
            "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        ) from error
    set_here = [name for name in ("metrics_port", "drift_dir") if getattr(settings, name) is not None]
    if set_here:
        raise UnusableArgument(f"SLUICE_{set_here[0].upper()}: {_NOT_HERE[set_here[0]]}")
    return settings


def deployment_of(settings: Settings) -> Deployment:
    """The deployment whose replicas serve with these settings; bind it to them."""
    # Ray's wrapper makes the class an ASGI application; `Replica` builds that application where it runs.
    made: Deployment = serve.deployment(
        serve.ingress()(Replica),
        name="Sluice",
        max_ongoing_requests=ONGOING,
        # Requests under way end within their deadline, which a replica that is replaced has time for.
        graceful_shutdown_timeout_s=settings.deadline + 5.0,
        health_check_period_s=5.0,
        request_router_config=RequestRouterConfig(request_router_class=ToReplica),
        logging_config={"enable_access_log": False},  # SLUICE_ACCESS_LOG asks for one that says more
    )
    return made


def app(arguments: dict[str, Any]) -> Application:
    """The application of `serve run service.ray_serve:app store=/models` and of `args` in a Serve config.

    The settings are read once, here; every replica gets the same ones.
    """
    settings = settings_of(arguments)
    return deployment_of(settings).bind(settings)
