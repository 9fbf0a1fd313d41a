"""The daemon's Prometheus metrics, in a registry of their own.

Names and units follow https://prometheus.io/docs/practices/naming: counters end in ``_total``,
seconds, bytes, joules and watts, never a prefix. A gauge that nothing has measured is NaN or has
no series, not 0. Updating and rendering only touch numbers in memory; neither waits for a request.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Outcome = Literal[
    "ok", "invalid", "not_found", "too_large", "unavailable", "deadline", "cancelled", "error"
]
# Why a request was answered by a plan that the policy did not choose.
Fallback = Literal["peer_lost", "engine_lost", "no_tables", "alone"]
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What the daemon counts; one method per event, one :meth:`render` for ``GET /metrics``."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._shown = _WithoutCreated(registry)
        self._requests = Counter(
            "prism_edge_requests",
            "Requests answered or refused, by the method of the plan that ran (none: refused).",
            ("model", "method", "outcome"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "prism_edge_request_seconds",
            "Time from a request's first byte read to its reply.",
            ("model", "method"),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._fallbacks = Counter(
            "prism_edge_fallbacks",
            "Batches answered by another plan than the one the policy would choose.",
            ("reason",),
            registry=registry,
        )
        self._wire = Counter(
            "prism_edge_wire_bytes",
            "Bytes of tensors sent between boards, counted by the transport.",
            registry=registry,
        )
        self._boards = Gauge(
            "prism_edge_boards", "Boards in the current epoch, leader included.", registry=registry
        )
        self._epoch = Gauge(
            "prism_edge_epoch", "Number of the current process group.", registry=registry
        )
        self._queue = Gauge(
            "prism_edge_queue_depth", "Requests admitted and not yet dispatched.", registry=registry
        )
        self._link = Gauge(
            "prism_edge_link_bytes_per_second",
            "Bandwidth between boards as last observed.",
            registry=registry,
        )
        self._power = Gauge(
            "prism_edge_power_watts",
            "Last reading of a board's total rail; source is sensor or modelled.",
            ("board", "source"),
            registry=registry,
        )
        self._energy = Counter(
            "prism_edge_energy_joules",
            "Energy integrated from a board's readings; source is sensor or modelled.",
            ("board", "source"),
            registry=registry,
        )
        self._journal = Gauge(
            "prism_edge_journal_ok",
            "1 while the journal can be written, 0 while it cannot (a full disk); NaN without one.",
            registry=registry,
        )
        for unmeasured in (self._boards, self._epoch, self._link, self._journal):
            unmeasured.set(math.nan)

    def request(self, *, model: str, method: str, outcome: Outcome, duration_s: float) -> None:
        """One request is answered or refused."""
        self._requests.labels(model, method, outcome).inc()
        self._request_seconds.labels(model, method).observe(duration_s)

    def fallback(self, reason: Fallback) -> None:
        """One batch was answered by a plan that the policy did not choose."""
        self._fallbacks.labels(reason).inc()

    def wire(self, payload_bytes: int) -> None:
        """So many more bytes went between boards."""
        self._wire.inc(payload_bytes)

    def cluster(self, *, boards: int, epoch: int) -> None:
        """A new epoch began with so many boards."""
        self._boards.set(boards)
        self._epoch.set(epoch)

    def queue(self, depth: int) -> None:
        """So many requests wait now."""
        self._queue.set(depth)

    def link(self, rate_bps: float | None) -> None:
        """The link was observed at this rate in bits per second; None: it is not known."""
        self._link.set(math.nan if rate_bps is None else rate_bps / 8)

    def journal(self, ok: bool | None) -> None:
        """Whether the journal can be written; None: there is none."""
        self._journal.set(math.nan if ok is None else float(ok))

    def power(self, board: str, source: str, power_w: float | None) -> None:
        """A board's last reading; None takes its series away, for a board that gives none."""
        if power_w is not None:
            self._power.labels(board, source).set(power_w)
            return
        with suppress(KeyError):  # older prometheus-client minds when there is none
            self._power.remove(board, source)

    def energy(self, board: str, source: str, energy_j: float) -> None:
        """A board used so many more joules."""
        self._energy.labels(board, source).inc(energy_j)

    def render(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._shown)


class _WithoutCreated(Collector):
    """A registry's families without the ``_created`` series, which double every counter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
            yield family
