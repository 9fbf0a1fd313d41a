"""MLPerf's LoadGen drives a daemon: the system under test, its samples, and the verdict of the log.

    pip install prism-edge mlcommons-loadgen
    python run.py --url http://10.0.0.11:8000 --model vit --scenario Server --rate 20 --latency 0.5

Exit 0: every query was answered, and the log calls the result valid.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import mlperf_loadgen as loadgen

from prism_edge.client.connection import Connection, Sent, Where
from prism_edge.client.made_up import made_up
from prism_edge.errors import PrismError
from prism_edge.serve.oip_client import Daemon, encode_request

SAMPLES = 64
VALID = "Result is : VALID"


class Samples:
    """Requests made from the model's metadata, encoded when LoadGen says which it will use."""

    def __init__(self, url: str, model: str, tokens: int) -> None:
        with Daemon(url) as daemon:
            self._takes = daemon.inputs(model)
        self._tokens = tokens
        self.ready: dict[int, tuple[bytes, int]] = {}

    def load(self, indices: list[int]) -> None:
        for index in indices:
            arrays = made_up(self._takes, batch=1, tokens=self._tokens, seed=index)
            self.ready[index] = encode_request(arrays, {})

    def unload(self, indices: list[int]) -> None:
        for index in indices:
            del self.ready[index]


class Users:
    """Threads with a connection each, who send what LoadGen issues and report what comes back."""

    def __init__(self, where: Where, model: str, samples: Samples, count: int) -> None:
        self._where, self._model, self._samples = where, model, samples
        self._due: queue.SimpleQueue[tuple[Any, float] | None] = queue.SimpleQueue()
        self.failed: list[Sent] = []
        self._threads = [threading.Thread(target=self._serve) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def issue(self, queries: list[Any]) -> None:
        """Does not wait: LoadGen goes on with its schedule."""
        for query in queries:
            self._due.put((query, time.monotonic()))

    def end(self) -> None:
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        with Connection(self._where) as connection:
            while (item := self._due.get()) is not None:
                query, due_s = item
                sent = connection.infer(self._model, *self._samples.ready[query.index], due_s)
                if sent.status != 200:  # LoadGen knows no refusals; the exit code tells
                    self.failed.append(sent)
                loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])


def settings(options: argparse.Namespace) -> Any:
    """LoadGen's, less than the ten minutes that a submission takes."""
    wanted = loadgen.TestSettings()
    wanted.scenario = getattr(loadgen.TestScenario, options.scenario)
    wanted.mode = loadgen.TestMode.PerformanceOnly
    wanted.min_duration_ms = round(options.seconds * 1000)
    wanted.min_query_count = options.queries
    # queries are made in advance, as many as could be answered so fast: more than any daemon will
    wanted.single_stream_expected_latency_ns = 50_000
    wanted.server_target_qps = options.rate
    wanted.server_target_latency_ns = round(options.latency * 1e9)
    return wanted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--scenario", choices=("SingleStream", "Server"), default="SingleStream")
    parser.add_argument("--seconds", type=float, default=10.0, help="at least (default 10)")
    parser.add_argument("--queries", type=int, default=500, help="at least (default 500)")
    parser.add_argument("--rate", type=float, default=10.0, help="Server: queries per second")
    parser.add_argument("--latency", type=float, default=1.0, help="Server: 99 %% within, seconds")
    parser.add_argument("--tokens", type=int, default=128, help="length of texts")
    parser.add_argument("--out", type=Path, default=Path("loadgen-logs"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    samples = Samples(options.url, options.model, options.tokens)
    users = Users(
        Where(url=options.url),
        options.model,
        samples,
        1 if options.scenario == "SingleStream" else 64,
    )
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(options.out)
    logs.enable_trace = False
    system = loadgen.ConstructSUT(users.issue, lambda: None)
    library = loadgen.ConstructQSL(SAMPLES, SAMPLES, samples.load, samples.unload)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings(options), logs)
    finally:
        users.end()
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
    summary = (options.out / "mlperf_log_summary.txt").read_text()
    print(summary)
    if users.failed:
        first = users.failed[0]
        print(f"{len(users.failed)} queries without an answer: {first.status} {first.error}")
    return 0 if VALID in summary and not users.failed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PrismError as error:
        sys.exit(f"error: {error}")
