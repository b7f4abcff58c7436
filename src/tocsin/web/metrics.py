"""Counters for Prometheus (contract section 7). Labels are our own names, never a body's words."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tocsin.core.retry import Outcome
from tocsin.work.deliver import Sent


class Metrics:
    """The numbers of one process."""

    def __init__(self) -> None:
        """Begin at nought, apart from any other registry."""
        self._registry = CollectorRegistry()
        self._intake = Counter(
            "tocsin_intake",
            "Requests at the intake URLs, by integration and result.",
            ["integration", "result"],
            registry=self._registry,
        )
        self.intake_seconds = Histogram(
            "tocsin_intake_seconds",
            "From the first byte of a request to its answer.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        self.inbox_depth = Gauge(
            "tocsin_inbox_depth", "Deliveries waiting to be processed.", registry=self._registry
        )
        self.overdue_jobs = Gauge(
            "tocsin_overdue_jobs",
            "Jobs due for more than a minute that nobody has taken.",
            registry=self._registry,
        )
        self.overdue_steps = Gauge(
            "tocsin_overdue_steps",
            "Incidents whose next step is more than a minute late.",
            registry=self._registry,
        )
        self.spool_depth = Gauge(
            "tocsin_spool_depth",
            "Deliveries on this machine's disk that the database does not have yet.",
            registry=self._registry,
        )
        self.database_up = Gauge(
            "tocsin_database_up", "Whether the database answers.", registry=self._registry
        )
        self._notifications = Counter(
            "tocsin_notifications",
            "Attempts to hand notifications over, by channel and result.",
            ["channel", "result"],
            registry=self._registry,
        )
        self._page_seconds = Histogram(
            "tocsin_page_seconds",
            "From a webhook's arrival to its first page handed to the provider.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=self._registry,
        )

    def count_intake(self, integration: str, result: str) -> None:
        """Count a request at an intake URL."""
        self._intake.labels(integration, result).inc()

    def attempted(self, sent: Sent) -> None:
        """Count an attempt; time the first page of an incident."""
        outcome = sent.report.outcome
        self._notifications.labels(sent.sending.method.channel, outcome.value).inc()
        incident = sent.sending.incident
        if outcome is Outcome.DELIVERED and sent.sending.is_first_page and incident:
            self._page_seconds.observe((sent.at - incident.triggered_at).total_seconds())

    def text(self) -> bytes:
        """Return the exposition format."""
        text: bytes = generate_latest(self._registry)
        return text
