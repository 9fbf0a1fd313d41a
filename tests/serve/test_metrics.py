"""What Prometheus reads: names, units, values, and what promtool would say."""

import math
import re
import shutil
import subprocess
import threading

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from prism_edge.serve.metrics import Metrics

# The rules of promtool's lint that a text of ours could break, from client_golang's promlint.
FOREIGN_UNITS = {"bits", "minutes", "hours", "days", "weeks", "kelvins", "calories", "inches"}
ABBREVIATED = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}


def lint(text: str) -> list[str]:
    """What promtool would complain about."""
    complaints = []
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        words = name.split("_")
        if not family.documentation:
            complaints.append(f"{name}: no help text")
        if family.type == "counter" and not all(
            sample.name.endswith(("_total", "_created")) for sample in family.samples
        ):
            complaints.append(f"{name}: counters end in _total")
        if family.type != "counter" and family.name.endswith("_total"):
            complaints.append(f"{name}: only counters end in _total")
        if family.type not in ("histogram", "summary") and re.search("_(count|sum|bucket)$", name):
            complaints.append(f"{name}: ends like part of a histogram")
        if FOREIGN_UNITS & set(words):
            complaints.append(f"{name}: not a base unit")
        if ABBREVIATED & set(words):
            complaints.append(f"{name}: abbreviated unit")
        if re.search("[A-Z]", name):
            complaints.append(f"{name}: camel case")
        if {"counter", "gauge", "histogram", "summary"} & set(words):
            complaints.append(f"{name}: names its type")
    return complaints


def used() -> Metrics:
    """Metrics of which every one has a value."""
    metrics = Metrics()
    metrics.request(model="vit", method="prism", outcome="ok", duration_s=0.3)
    metrics.fallback("peer_lost")
    metrics.wire(4096)
    metrics.cluster(boards=2, epoch=7)
    metrics.queue(3)
    metrics.link(100e6)
    metrics.journal(False)
    metrics.power("edge-1", "modelled", 5.25)
    metrics.energy("edge-1", "modelled", 12.5)
    return metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample as ``name{labels}``, buckets left out."""
    return {
        sample.name + "".join(f"{{{key}={sample.labels[key]}}}" for key in sorted(sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_every_event_is_one_number_in_base_units() -> None:
    assert samples(used()) == {
        "prism_edge_requests_total{method=prism}{model=vit}{outcome=ok}": 1,
        "prism_edge_request_seconds_count{method=prism}{model=vit}": 1,
        "prism_edge_request_seconds_sum{method=prism}{model=vit}": 0.3,
        "prism_edge_fallbacks_total{reason=peer_lost}": 1,
        "prism_edge_wire_bytes_total": 4096,
        "prism_edge_boards": 2,
        "prism_edge_epoch": 7,
        "prism_edge_queue_depth": 3,
        "prism_edge_link_bytes_per_second": 12.5e6,
        "prism_edge_journal_ok": 0,
        "prism_edge_power_watts{board=edge-1}{source=modelled}": 5.25,
        "prism_edge_energy_joules_total{board=edge-1}{source=modelled}": 12.5,
    }


def test_counters_add_and_gauges_follow() -> None:
    metrics = used()
    metrics.request(model="vit", method="prism", outcome="ok", duration_s=0.2)
    metrics.request(model="vit", method="none", outcome="deadline", duration_s=30.0)
    metrics.wire(4)
    metrics.cluster(boards=1, epoch=8)
    metrics.energy("edge-1", "modelled", 0.5)
    now = samples(metrics)
    assert now["prism_edge_requests_total{method=prism}{model=vit}{outcome=ok}"] == 2
    assert now["prism_edge_requests_total{method=none}{model=vit}{outcome=deadline}"] == 1
    assert now["prism_edge_request_seconds_sum{method=prism}{model=vit}"] == 0.5
    assert now["prism_edge_wire_bytes_total"] == 4100
    assert now["prism_edge_boards"] == 1
    assert now["prism_edge_epoch"] == 8
    assert now["prism_edge_energy_joules_total{board=edge-1}{source=modelled}"] == 13


def test_a_counter_never_falls() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        used().wire(-1)
    with pytest.raises(ValueError, match="non-negative"):
        used().energy("edge-1", "sensor", -0.1)


def test_what_nothing_measured_is_not_zero() -> None:
    fresh = samples(Metrics())
    for name in ("boards", "epoch", "link_bytes_per_second"):
        assert math.isnan(fresh[f"prism_edge_{name}"])
    assert not any("power" in name or "energy" in name for name in fresh)
    metrics = used()
    metrics.link(None)
    metrics.power("edge-1", "modelled", None)
    metrics.power("edge-2", "sensor", None)  # never had a reading
    assert math.isnan(samples(metrics)["prism_edge_link_bytes_per_second"])
    assert not any("power" in name for name in samples(metrics))


def test_two_daemons_in_one_process_share_nothing() -> None:
    one, other = used(), Metrics()
    assert samples(one) != samples(other)
    assert not any(family.name.startswith("prism_edge") for family in REGISTRY.collect())


def test_created_series_are_left_out() -> None:
    assert b"_created" not in used().render()


def test_render_during_updates_is_whole() -> None:
    metrics, stop = used(), threading.Event()

    def update() -> None:
        while not stop.is_set():
            metrics.power("edge-1", "modelled", 1.0)
            metrics.power("edge-1", "modelled", None)
            metrics.request(model="m", method="local", outcome="ok", duration_s=0.1)

    thread = threading.Thread(target=update)
    thread.start()
    try:
        for _ in range(100):
            assert lint(metrics.render().decode()) == []
    finally:
        stop.set()
        thread.join()


def test_names_would_pass_promtool() -> None:
    assert lint(used().render().decode()) == []


def test_the_lint_can_fail() -> None:
    registry = CollectorRegistry()
    Gauge("link_bits", "Rate.", registry=registry)
    Gauge("wait_ms", "Wait.", registry=registry)
    Gauge("nothing", "", registry=registry)
    Gauge("lost_total", "Lost.", registry=registry)
    Gauge("epoch_gauge", "Epoch.", registry=registry)
    Counter("fine", "Fine.", registry=registry)
    assert sorted(
        complaint.split(":")[0] for complaint in lint(generate_latest(registry).decode())
    ) == [
        "epoch_gauge",
        "link_bits",
        "lost_total",
        "nothing",
        "wait_ms",
    ]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_itself_says_nothing() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=used().render(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
