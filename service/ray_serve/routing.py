"""Which replica gets a request: the less busy of two, or the one that another replica names."""

from __future__ import annotations

import random

from ray.serve.request_router import LocalityMixin, PendingRequest, RequestRouter, RunningReplica

REPLICA = "replica"
"""The argument by which a call between replicas names the one that it is for."""


class ToReplica(LocalityMixin, RequestRouter):  # type: ignore[misc]  # Ray may be missing
    """Power of two choices, except for a call between replicas.

    A call for a replica that is gone goes to any other, which sees that it is not meant.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        named = None if pending_request is None else pending_request.kwargs.get(REPLICA)
        if named is not None:
            meant = [replica for replica in candidate_replicas if replica.replica_id.unique_id == named]
            return [meant or candidate_replicas[:1]]
        near = self.apply_locality_routing(pending_request=pending_request)
        candidates = [replica for replica in candidate_replicas if replica.replica_id in near]
        # Ray sends the request to the one with the shorter queue.
        return [random.sample(candidates, min(2, len(candidates)))] if candidates else []
