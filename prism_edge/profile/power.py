"""A board's power while it is measured: samples of its own meter, and what they say of a window.

Nothing is invented: a window that too few samples fall into, or that the samples do not cover, has
no power. The samples' ends and gaps are the meter's affair (``energy/meter.py``).
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections.abc import Sequence

from prism_edge.cluster.host import Host
from prism_edge.energy.meter import energy
from prism_edge.energy.rails import declared, unknown_total
from prism_edge.energy.sample import Sample
from prism_edge.energy.source import HelperLines, TegrastatsLines
from prism_edge.profile.lines import Lines
from prism_edge.settings import BoardSettings

INTERVAL_S = 0.1
LEAST_SAMPLES = 3  # inside a window, for its mean
LEAST_COVERAGE = 0.8  # of a window of passes: the last sample comes after it
LEAST_S = 0.5  # passes of a cell go on for this long, so that enough samples fall among them
SILENCE_S = 3.0  # without a line for this long there is no meter


class PowerMeter:
    """The running reader of one board that has a power source: its tegrastats, unless told."""

    def __init__(self, board: BoardSettings, host: Host) -> None:
        assert board.power != "none"
        self.name = board.name
        self.source = board.power
        self.rule: str | None = None
        self._problem: str | None = None
        self._samples: list[Sample] = []
        total = declared(board.power_total)
        self._read: HelperLines | TegrastatsLines
        self._by = "tegrastats"
        if board.power == "sensor" and board.power_source in ("sysfs", "jtop"):
            self._by = board.power_source
            self._read = HelperLines(board=board.name, by=self._by, total=total)
            argv = [sys.executable, "-m", f"prism_edge.energy.{self._by}", f"{INTERVAL_S:g}"]
        else:
            self._read = TegrastatsLines(board=board.name, source=board.power, total=total)
            argv = ["tegrastats", "--interval", str(round(INTERVAL_S * 1e3))]
        self._started_s = time.monotonic()
        self._lines = Lines(host, argv, self._take)

    @property
    def problem(self) -> str | None:
        """Why there is no power now; None when there is."""
        if self._lines.why_ended is not None:
            return f"{self._by}: {self._lines.why_ended}"
        last_s = self._samples[-1].t_s if self._samples else self._started_s
        if time.monotonic() - last_s <= SILENCE_S:
            return None
        return self._problem or f"{self._by} printed no power for {SILENCE_S:g} s"

    def await_first(self) -> None:
        """A sample is there, or it is clear that none comes."""
        while not self._samples and self.problem is None:
            time.sleep(INTERVAL_S / 5)

    def mean_w(self, start_s: float, stop_s: float) -> float | None:
        """The mean power between two moments of the monotonic clock; None when it is not known."""
        window = energy(self.near(start_s), start_s, stop_s, INTERVAL_S)
        enough = window.samples >= LEAST_SAMPLES and window.coverage >= LEAST_COVERAGE
        return window.mean_w if enough else None

    def near(self, start_s: float) -> list[Sample]:
        """The samples from shortly before that moment on."""
        samples = list(self._samples)
        at = bisect_left(samples, start_s - 10 * INTERVAL_S, key=lambda sample: sample.t_s)
        return samples[at:]

    def await_sample(self, after_s: float) -> None:
        """A sample after that moment is there, or none comes for two intervals."""
        until_s = time.monotonic() + 2 * INTERVAL_S
        while time.monotonic() < until_s:
            if self._samples and self._samples[-1].t_s >= after_s:
                return
            time.sleep(INTERVAL_S / 20)

    def close(self) -> None:
        """Its reader has ended."""
        self._lines.close()

    def _take(self, line: str, now_s: float) -> None:
        sample = self._read(line, now_s)  # one clock for all boards, ours: a window is cut on it
        if isinstance(sample, str):
            self._problem = sample
        elif sample.power_w is None:
            self._problem = unknown_total(sample.rails_mw)
        elif self.rule is None:
            self.rule = sample.rule  # and the first reading, a start-up artefact, is left out
        else:
            self._samples.append(sample)


def spent(meters: Sequence[PowerMeter], start_s: float, stop_s: float) -> float | None:
    """Joules of all boards, idle ones included, between two moments; None unless all are covered.

    Waits for the samples that close the window.
    """
    if not meters:
        return None
    for meter in meters:
        meter.await_sample(stop_s)
    found = [energy(meter.near(start_s), start_s, stop_s, INTERVAL_S) for meter in meters]
    if not all(one.complete and one.samples >= LEAST_SAMPLES for one in found):
        return None
    return sum(one.energy_j or 0.0 for one in found)
