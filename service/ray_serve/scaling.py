"""How many replicas there should be: so many that none has more than some seconds of work waiting."""

from __future__ import annotations

from typing import Any

from ray.serve.config import AutoscalingContext

WAITING = "sluice_waiting_seconds"
"""What each replica reports: the seconds in which its devices work off what waits."""


class QueueLength:
    """A policy of Ray Serve's ``autoscaling_config``: as many replicas as the waiting work asks for.

    ``seconds`` of work may wait in each replica. Ray's own measure counts as well, so that a replica that keeps up
    is not taken away while it is busy: ``target_ongoing_requests`` requests under way in each. Bounds and delays are
    those of ``autoscaling_config``.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        if not seconds > 0:
            raise ValueError("seconds must be greater than 0")
        self._seconds = seconds

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        waiting = sum((context.aggregated_metrics or {}).get(WAITING, {}).values())
        by_requests = context.total_num_requests / context.config.target_ongoing_requests
        return max(waiting / self._seconds, by_requests, 1.0), {}
