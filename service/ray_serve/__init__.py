"""The service on Ray Serve: `serve run service.ray_serve:app`. See docs/ray.md."""

from service.ray_serve.application import app

__all__ = ["app"]
