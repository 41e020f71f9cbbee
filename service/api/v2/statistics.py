"""The statistics extension of the Open Inference Protocol v2, from the metrics of the api processes and the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from service.api.v2.documents import Duration, InferenceStatistics, ModelStatistics
from service.api.v2.signatures import Called

_NONE = Duration(0, 0)


class Totals:
    """Counts by name, model, function and one more label."""

    def __init__(self, of_requests: Iterable[Sample], of_device: bytes) -> None:
        self._found: dict[tuple[str, str, str, str], float] = {}
        for sample in of_requests:
            labels = sample.labels
            if "function" in labels:
                self._add(sample, labels["function"], labels.get("outcome") or labels.get("phase") or "")
        for family in text_string_to_metric_families(of_device.decode()):
            for sample in family.samples:
                if "kind" in sample.labels and "model" in sample.labels:
                    self._add(sample, sample.labels["kind"], "")

    def of(self, functions: Sequence[Called]) -> list[ModelStatistics]:
        """The statistics of these functions, in order."""
        return [self._statistics(function) for function in functions]

    def _add(self, sample: Sample, function: str, label: str) -> None:
        self._found[sample.name, sample.labels["model"], function, label] = sample.value

    def _statistics(self, function: Called) -> ModelStatistics:
        def count(name: str, label: str = "") -> float:
            return self._found.get((f"sluice_{name}", function.model.reference, function.kind, label), 0.0)

        def duration(times: float, seconds: float) -> Duration:
            return Duration(int(times), round(seconds * 1e9))

        successes, failures = (count("inferences_total", outcome) for outcome in ("success", "fail"))
        success, fail, reading, writing = (
            count("inference_seconds_total", phase) for phase in ("success", "fail", "input", "output")
        )
        ticks = count("model_ticks_total")
        return ModelStatistics(
            name=function.name,
            version=function.version,
            last_inference=round(1000 * count("last_inference_timestamp_seconds")),
            inference_count=int(count("inference_items_total")),
            execution_count=int(ticks),
            inference_stats=InferenceStatistics(
                success=duration(successes, success),
                fail=duration(failures, fail),
                queue=duration(count("model_jobs_total"), count("model_queue_seconds_total")),
                compute_input=duration(successes, reading),
                compute_infer=duration(ticks, count("model_tick_seconds_total")),
                compute_output=duration(successes, writing),
                cache_hit=_NONE,
                cache_miss=_NONE,
            ),
        )
