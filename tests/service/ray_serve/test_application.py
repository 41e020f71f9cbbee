"""What Ray Serve is given: arguments that become settings, the config that ships, and the policy of scaling."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.scale.markers import LONG
from tests.service.servers import ROOT

pytest.importorskip("ray.serve", reason="Ray Serve comes with the extra ray")
pytestmark = LONG  # importing Ray takes seconds


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"port": 8000}, "port: Ray's proxy listens"),
        ({"api_processes": 2}, "api_processes: each replica is one"),
        ({"stroe": "/models"}, "stroe: there is no such setting"),
        ({"max_n": 0}, "max_n: Input should be greater than or equal to 1"),
        ({"drift_dir": "/tmp"}, "drift_dir: a replica has no name"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(arguments: dict[str, Any], told: str) -> None:
    from service.ray_serve.application import UnusableArgument, settings_of

    with pytest.raises(UnusableArgument, match=told):
        settings_of(arguments)


def test_a_setting_of_the_environment_that_no_replica_can_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from service.ray_serve.application import UnusableArgument, settings_of

    assert settings_of({"max_n": "5", "store": "/models"}).store == Path("/models")
    monkeypatch.setenv("SLUICE_METRICS_PORT", "9000")
    with pytest.raises(UnusableArgument, match="SLUICE_METRICS_PORT: /metrics is answered by Ray's proxy"):
        settings_of({})


def test_the_config_that_ships_is_one_of_rays_and_builds_the_application() -> None:
    from ray.serve.schema import ServeDeploySchema

    from service.ray_serve.application import app

    written = yaml.safe_load((ROOT / "docker/ray/serve.yaml").read_text())
    (application,) = ServeDeploySchema.model_validate(written).applications
    assert application.import_path == "service.ray_serve:app"
    (deployment,) = application.deployments
    assert deployment.name == app(application.args)._bound_deployment.name


def test_replicas_follow_the_waiting_work_and_the_requests_under_way() -> None:
    from service.ray_serve.scaling import WAITING, QueueLength

    def wanted(seconds: dict[str, float], requests: float) -> float:
        config = SimpleNamespace(target_ongoing_requests=10)
        told = SimpleNamespace(aggregated_metrics={WAITING: seconds}, total_num_requests=requests, config=config)
        return QueueLength(seconds=2.0)(told)[0]

    assert wanted({}, 0) == 1
    assert wanted({"a": 5.0, "b": 3.0}, 0) == 4
    assert wanted({"a": 0.1}, 35) == 3.5
    with pytest.raises(ValueError, match="seconds must be greater than 0"):
        QueueLength(0)
