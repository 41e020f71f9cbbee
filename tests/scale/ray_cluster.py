"""A small cluster of Ray's for tests, on which the service runs behind Ray Serve's proxy."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.settings import Settings
from tests.service.servers import ROOT

NAME = "sluice"
REPLICAS = 2


@dataclass
class RayCluster:
    """Ray Serve on this machine."""

    url: str

    def deploy(self, settings: Settings, **options: Any) -> None:
        """Run the service with these settings in place of what runs; ``options`` are those of a Serve deployment.

        Returns once all replicas are ready.
        """
        from ray import serve

        from service.ray_serve.application import deployment_of

        # A replica of Ray's sleeps as long before it looks whether it may end: by default two seconds.
        soon = {"graceful_shutdown_wait_loop_s": 0.1}
        chosen = {"num_replicas": REPLICAS, "ray_actor_options": {"num_cpus": 0.5}, **soon, **options}
        serve.run(deployment_of(settings).options(**chosen).bind(settings), name=NAME, route_prefix="/")

    def delete(self) -> None:
        """End all replicas."""
        from ray import serve

        serve.delete(NAME)

    def replicas(self) -> dict[str, Any]:
        """The actors of the running replicas, by the replicas' names."""
        import ray

        found = {}
        for actor in ray.util.list_named_actors(all_namespaces=True):
            if actor["name"].startswith(f"SERVE_REPLICA::{NAME}#Sluice#"):
                found[actor["name"].rpartition("#")[2]] = ray.get_actor(actor["name"], actor["namespace"])
        return found


@contextmanager
def ray_cluster(cpus: int = 2) -> Iterator[RayCluster]:
    """A cluster that ends with the context, and every process of it."""
    import ray
    from ray import serve

    # Sockets lie in this folder, whose path must be short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    said = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=80 * 2**20,
            log_to_driver=False,
            logging_level="warning",
            _temp_dir=folder,
        )
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        yield RayCluster(f"http://127.0.0.1:{port}")
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
