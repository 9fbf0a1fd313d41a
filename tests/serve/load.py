"""Clients that keep asking a daemon, and what became of every single request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import httpx
import numpy as np

from prism_edge.serve.datatypes import Array
from prism_edge.serve.oip import HEADER_LENGTH
from prism_edge.serve.oip_client import decode_response, encode_request

EXACT = 1e-4
PATIENCE_S = 60.0
REFUSAL = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is asked, and what the model itself answers to it."""

    pixels: Array
    logits: Array
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one client was told. ``wrong``: what is wrong with it, None: nothing."""

    sent_s: float
    took_s: float
    status: int
    plan: str | None = None
    wrong: str | None = None


class Load:
    """As many clients as ``cases``, each asking its own again and again until ``stop``."""

    def __init__(self, url: str, model: str, cases: Sequence[Case]) -> None:
        self._url = f"{url}/v2/models/{model}/infer"
        self._stop = threading.Event()
        self.told: list[Told] = []
        self._threads = [threading.Thread(target=self._keep_asking, args=(case,)) for case in cases]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """No client waits for an answer any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wrong(self) -> list[Told]:
        return [told for told in self.told if told.wrong is not None]

    def counts(self) -> Counter[int]:
        return Counter(told.status for told in self.told)

    def _keep_asking(self, case: Case) -> None:
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
            while not self._stop.is_set():
                told = ask(client, self._url, case)
                self.told.append(told)
                if told.status == REFUSAL:
                    self._stop.wait(0.1)


def request_of(case: Case) -> tuple[bytes, dict[str, str]]:
    """Its body and headers."""
    body, length = encode_request({"pixel_values": case.pixels}, {"plan": case.plan})
    return body, {HEADER_LENGTH: str(length)}


def ask(client: httpx.Client, url: str, case: Case) -> Told:
    body, headers = request_of(case)
    sent_s = time.monotonic()
    try:
        reply = client.post(url, content=body, headers=headers)
    except httpx.HTTPError as error:
        return Told(sent_s=sent_s, took_s=time.monotonic() - sent_s, status=0, wrong=repr(error))
    return judged(reply, case, sent_s)


def judged(reply: httpx.Response, case: Case, sent_s: float) -> Told:
    """The reply beside what the model itself answers; a refusal must say when to come again."""
    took_s, plan, wrong = time.monotonic() - sent_s, None, None
    if reply.status_code == 200:
        found = decode_response(reply.content, int(reply.headers[HEADER_LENGTH]))
        plan = str(found.parameters["plan"])
        gap = float(np.abs(np.subtract(found.outputs["logits"], case.logits)).max())
        wrong = None if gap < EXACT else f"{plan} is off by {gap:.2g}"
    elif reply.status_code != REFUSAL or "Retry-After" not in reply.headers:
        wrong = f"{reply.status_code}: {reply.text}"
    return Told(sent_s=sent_s, took_s=took_s, status=reply.status_code, plan=plan, wrong=wrong)


def counted(metrics: str) -> Counter[str]:
    """Requests by outcome, as ``/metrics`` counts them."""
    found: Counter[str] = Counter()
    for line in metrics.splitlines():
        if line.startswith("prism_edge_requests_total{"):
            labels, value = line.rsplit(" ", 1)
            found[labels.split('outcome="')[1].split('"')[0]] += int(float(value))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
