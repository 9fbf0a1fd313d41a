"""Dashboard and alerts ask for metrics, labels and outcomes that the daemon has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from prism_edge.serve.metrics import Fallback, Metrics, Outcome

DEPLOY = Path(__file__).parents[2] / "deploy"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
THEIRS = {"up", "instance", "job", "le"}  # of Prometheus itself
WORDS = {"by", "sum", "rate", "histogram_quantile", "max_over_time", "min_over_time"}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found = json.loads((DEPLOY / "dashboard.json").read_text())
    assert isinstance(found, dict)
    return found


def questions() -> list[str]:
    """Everything that is asked of Prometheus."""
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    variables = [
        found.group(1)
        for variable in dashboard()["templating"]["list"]
        if isinstance(variable["query"], dict)
        and (found := re.fullmatch(r"label_values\((\w+), instance\)", variable["query"]["query"]))
    ]
    assert variables
    return [rule["expr"] for rule in alerts()] + panels + variables


def names(question: str) -> Iterator[str]:
    """Metrics and labels that it names, without texts, durations and what Grafana fills in."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]', " ", question)
    yield from (word for word in re.findall(r"[a-z_]\w*", bare) if word not in WORDS)


def unknown(questions: Iterable[str], exported: set[str]) -> list[str]:
    asked = {name for question in questions for name in names(question)}
    return sorted(asked - exported - THEIRS)


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Names of the metrics that the daemon answers GET /metrics with, and of their labels."""
    metrics = Metrics()
    metrics.request(model="vit", method="prism", outcome="ok", duration_s=0.3)
    metrics.fallback("peer_lost")
    metrics.power("edge-1", "modelled", 5.25)
    metrics.energy("edge-1", "modelled", 12.5)
    families = list(text_string_to_metric_families(metrics.render().decode()))
    return {f"{one.name}{end}" for one in families for end in SUFFIXES[one.type]} | {
        label for one in families for sample in one.samples for label in sample.labels
    }


def test_nothing_is_asked_for_that_is_not_exported(exported: set[str]) -> None:
    assert len(questions()) > 15
    assert unknown(questions(), exported) == []


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("prism_edge_queue_length > 3", ["prism_edge_queue_length"]),
        ("sum by (colour) (rate(prism_edge_wire_bytes_total[5m]))", ["colour"]),
        ('prism_edge_fallbacks_total{why="prism_edge_boards"}', ["why"]),
    ],
)
def test_what_is_not_exported_is_found(
    question: str, missing: list[str], exported: set[str]
) -> None:
    assert unknown([question], exported) == missing


def test_outcomes_and_reasons_are_those_there_are() -> None:
    text = " ".join(questions())
    lists = re.findall(r'outcome!?=~?"([^"]+)"', text)
    asked = {word for words in lists for word in words.split("|")}
    assert asked
    assert asked <= set(get_args(Outcome))
    told = " ".join(rule["annotations"]["description"] for rule in alerts())
    assert {"no_tables", "peer_lost", "engine_lost"} <= set(get_args(Fallback)) & set(
        re.findall(r"\w+", told)
    )


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_promtool_reads_the_alerts() -> None:
    subprocess.run(["promtool", "check", "rules", DEPLOY / "alerts.yml"], check=True, timeout=60)
