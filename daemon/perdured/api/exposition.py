"""Jobs as metrics. The ledger's seconds are gauges, since a part may give some to another as more becomes known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from perdured import __version__
from perdured.core.ledger import PARTS
from perdured.views import JobView

_JOB = ("job_id", "job_name")
"""`job` itself is the label by which Prometheus tells what it scrapes apart."""


class Jobs(Collector):
    def __init__(self, jobs: Sequence[JobView]) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("perdure", "The daemon.", {"version": __version__})
        yield _count_states(self._jobs)
        yield self._list_times()
        goodput = "Useful training time divided by wall time."
        yield self._gauge("perdure_job_goodput_ratio", goodput, [job.goodput for job in self._jobs])
        yield self._gauge("perdure_job_step", "The step it has come to.", [job.step for job in self._jobs])
        yield self._gauge("perdure_job_planned_steps", "How many there will be.", [job.total for job in self._jobs])
        yield self._gauge("perdure_job_loss", "As it reported last.", [job.loss for job in self._jobs])
        saved = [job.checkpoint for job in self._jobs]
        steps = [each.step if each else None for each in saved]
        yield self._gauge("perdure_job_checkpoint_step", "Of its newest checkpoint.", steps)
        times = [_parse_time(each.committed_at) if each else None for each in saved]
        yield self._gauge("perdure_job_checkpoint_timestamp_seconds", "When that was committed.", times)
        yield self._count_restarts()

    def _list_times(self) -> Metric:
        text = "Where the wall time of the job went; the parts add up to it."
        family = GaugeMetricFamily("perdure_job_time_seconds", text, labels=(*_JOB, "part"))
        for job in self._jobs:
            for part in PARTS:
                family.add_metric((job.id, job.name, part), getattr(job.ledger, part))
        return family

    def _gauge(self, name: str, text: str, values: Sequence[float | None]) -> Metric:
        """What is not known is left out."""
        family = GaugeMetricFamily(name, text, labels=_JOB)
        for job, value in zip(self._jobs, values, strict=True):
            if value is not None:
                family.add_metric((job.id, job.name), value)
        return family

    def _count_restarts(self) -> Metric:
        family = CounterMetricFamily("perdure_job_restarts", "Attempts after the first.", labels=_JOB)
        for job in self._jobs:
            family.add_metric((job.id, job.name), job.restarts)
        return family


def _parse_time(text: str) -> float:
    """Python 3.10 does not take the Z for UTC."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _count_states(jobs: Sequence[JobView]) -> Metric:
    family = GaugeMetricFamily("perdure_jobs", "Jobs in each state.", labels=("state",))
    for state, count in sorted(Counter(job.state for job in jobs).items()):
        family.add_metric((state,), count)
    return family


def expose(jobs: Sequence[JobView], accept: str) -> tuple[bytes, str]:
    """The text, and its content type, in the format that suits the reader best."""
    registry = CollectorRegistry()
    registry.register(Jobs(jobs))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind
