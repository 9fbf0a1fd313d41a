"""A real Prometheus scrapes a daemon, knows its alerts, and counts what clients counted."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
from twin_daemon import serving

from prism_edge.serve.oip_client import Daemon

ALERTS = Path(__file__).parents[2] / "deploy" / "alerts.yml"
PATIENCE_S = 60.0
Found = TypeVar("Found")
pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="needs prometheus and promtool (apt-get install prometheus)",
)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def prometheus(work: Path, target: str) -> Iterator[str]:
    """The URL of one that scrapes ``target`` every 200 ms and has our alerts."""
    config, port = work / "prometheus.yml", free_port()
    config.write_text(
        json.dumps(  # JSON is YAML
            {
                "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                "rule_files": [str(ALERTS)],
                "scrape_configs": [
                    {"job_name": "prism-edge", "static_configs": [{"targets": [target]}]}
                ],
            }
        )
    )
    subprocess.run(["promtool", "check", "config", config], check=True, timeout=60)
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={work / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def asked(url: str, path: str, **parameters: str) -> Any:
    """The ``data`` of an answer of Prometheus' API; None while it starts."""
    try:
        answer = httpx.get(
            f"{url}/api/v1/{path}", params=parameters, trust_env=False, timeout=PATIENCE_S
        )
    except httpx.TransportError:
        return None
    return answer.json()["data"] if answer.status_code == 200 else None


def value(url: str, query: str) -> float | None:
    """What a query gives now."""
    found = asked(url, "query", query=query)
    return float(found["result"][0]["value"][1]) if found and found["result"] else None


def until(url: str, query: str, wanted: float) -> None:
    found = changes(lambda: value(url, query), wanted)
    assert found == wanted, query


def health(url: str) -> tuple[str, str]:
    """Of the only target, as of the last scrape."""
    (target,) = asked(url, "targets")["activeTargets"]
    return target["health"], target["lastError"]


def changes(look: Callable[[], Found], wanted: Found) -> Found:
    """What is seen once it is what is wanted, or in the end."""
    deadline_s = time.monotonic() + PATIENCE_S
    while (found := look()) != wanted and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return found


def test_prometheus_scrapes_a_daemon(tmp_path: Path) -> None:
    with serving() as daemon, prometheus(tmp_path, daemon.removeprefix("http://")) as url:
        with Daemon(daemon) as client:
            for _ in range(3):
                client.infer("colours", {"pixel_values": np.zeros((1, 3, 4, 4), np.float32)}, {})
        until(url, 'up{job="prism-edge"}', 1)
        until(url, 'prism_edge_requests_total{model="colours",method="split",outcome="ok"}', 3)
        until(url, 'prism_edge_request_seconds_count{model="colours"}', 3)
        # a scrape may be late on a busy machine, and the next one is not
        assert changes(lambda: health(url), ("up", "")) == ("up", "")
        rules = [rule for group in asked(url, "rules")["groups"] for rule in group["rules"]]
        assert len(rules) > 3
        assert {rule["lastError"] for rule in rules if "lastError" in rule} <= {""}


def test_a_daemon_s_own_metrics_pass_promtool() -> None:
    with serving() as daemon:
        text = httpx.get(f"{daemon}/metrics", trust_env=False, timeout=60).content
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_daemon_that_is_not_there_is_down(tmp_path: Path) -> None:
    with prometheus(tmp_path, f"127.0.0.1:{free_port()}") as url:
        until(url, 'up{job="prism-edge"}', 0)
