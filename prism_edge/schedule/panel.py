"""Many plans' latencies at once, over one link: ``T = request + max C + exchanges + in + out``.

The one place where the formula of ``docs/policy.md`` is written down. What does not depend on the
link is laid out in arrays when a panel is made, so that deciding costs microseconds. Letters: R
ranks, W waves, K parts of plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prism_edge.schedule.link import LinkState
from prism_edge.schedule.work import Work

Floats = NDArray[np.float64]
TERMS = ("request_s", "compute_s", "exchange_s", "input_s", "output_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """Processor time that no other table holds: per request, per exchange, and per byte of one."""

    request_s: float = 0.0
    exchange_s: float = 0.0
    byte_s: float = 0.0


class Panel:
    """Works side by side. ``burst_bytes``: of an exchange, and ``oneway_alpha_s`` and
    ``oneway_burst_bytes`` of a message that travels alone, as the link table has it."""

    def __init__(
        self,
        works: Sequence[Work],
        *,
        blocks: int,
        causal: bool,
        overheads: Overheads,
        burst_bytes: float,
        oneway_alpha_s: float,
        oneway_burst_bytes: float,
    ) -> None:
        parts = [part for work in works for part in work.parts]
        ranks = max((len(part.computes) for part in parts), default=1)
        waves = max((len(part.waves) for part in parts), default=0)
        self._starts = np.cumsum([0, *(len(work.parts) for work in works)])[:-1]
        self._plain = len(parts) == len(works)
        self._blocks, self._causal = blocks, causal
        self._request_s = overheads.request_s
        self._alpha_s = oneway_alpha_s
        self._compute = np.zeros((ranks, len(parts)))  # [R,K] seconds
        self._free = np.zeros((ranks, len(parts)))  # [R,K] of a block
        self._inputs = np.zeros((2, ranks, len(parts)))  # messages, and bytes past the burst
        self._outputs = np.zeros((2, ranks, len(parts)))
        # count, with latency, bytes past the burst, seconds of staging
        self._waves = np.zeros((4, waves, len(parts)))
        self._split = np.flatnonzero([part.split for part in parts])
        self._extra_s = np.zeros(len(parts))
        for k, part in enumerate(parts):
            for rank, spread in enumerate(part.computes):
                self._compute[rank, k] = spread.mid_s
            self._free[: len(part.free), k] = part.free
            for rank, (told, back) in enumerate(zip(part.inputs, part.outputs, strict=True)):
                self._inputs[:, rank, k] = told > 0, max(0.0, told - oneway_burst_bytes)
                self._outputs[:, rank, k] = back > 0, max(0.0, back - oneway_burst_bytes)
            for w, wave in enumerate(part.waves):
                moving = max(0.0, wave.competing_bytes - burst_bytes)
                self._waves[:, w, k] = wave.count, wave.latency, moving, wave.staged_s
                busy_s = overheads.exchange_s + overheads.byte_s * wave.competing_bytes
                self._extra_s[k] += wave.count * busy_s
        self._told = self._inputs.sum(axis=1)
        self._heard = self._outputs.sum(axis=1)
        self._shares = self._inputs[:, :, self._split], self._outputs[:, :, self._split]
        self._asked = self._shares[0][0] > 0

    def terms(self, link: LinkState | None, paces: Sequence[float]) -> Floats:
        """Seconds by term and plan, in the order of ``TERMS``.

        ``paces``: by rank, how many times its measured computing a board takes now. Without a link
        only plans of one rank mean anything.
        """
        alpha, beta = (0.0, 0.0) if link is None else (link.alpha_s, 8 / link.bandwidth_bps)
        return self.at(alpha, beta, paces)

    def at(self, alpha: float, beta: float | Floats, paces: Sequence[float]) -> Floats:
        """``terms`` with seconds per message and per byte; the latter one, or one for each part."""
        pace = np.asarray(paces[: len(self._compute)])[:, None]
        compute = self._compute * pace
        most = compute.max(axis=0)
        out = np.empty((5, len(most)))
        out[0] = self._request_s
        out[1] = most
        out[2] = self._exposed(compute, most, alpha, beta) + self._extra_s
        out[3] = self._alpha_s * self._told[0] + beta * self._told[1]
        out[4] = self._alpha_s * self._heard[0] + beta * self._heard[1]
        if len(self._split):
            self._divide(out, compute, beta)
        if not self._plain:
            out = np.add.reduceat(out, self._starts, axis=1)
            out[0] = self._request_s
        return out

    def busy(self, paces: Sequence[float]) -> Floats:
        """Seconds that each rank computes, by rank and plan."""
        pace = np.asarray(paces[: len(self._compute)])[:, None]
        compute: Floats = np.add.reduceat(self._compute * pace, self._starts, axis=1)
        return compute

    def _exposed(self, compute: Floats, most: Floats, alpha: float, beta: float | Floats) -> Floats:
        """Waiting that no computing hides.  -> [K]

        Mutual: a rank sends, computes what is free, joins, computes the rest. Two ranks that wait
        for each other go round in ``tau`` and the mean of what they compute between join and send;
        the slower one's whole block is the least a round takes.
        """
        counts, latency, moving, staged_s = self._waves
        tau = alpha * latency + beta * moving + staged_s  # [W,K]
        block = most / self._blocks
        if self._causal:
            free = np.where(self._free > 0, self._free * compute, np.inf).min(axis=0)
            slack = np.where(latency > 0, free / self._blocks, block)
            slack = np.where(np.isfinite(slack), slack, 0.0)
        else:
            tied = (1 - self._free) * compute
            if len(tied) > 2:
                tied = np.sort(tied, axis=0)[-2:]
            slack = block - tied.sum(axis=0) / (2 * self._blocks)
        exposed: Floats = (counts * np.maximum(0.0, tau - slack)).sum(axis=0)
        return exposed

    def _divide(self, out: Floats, compute: Floats, beta: float | Floats) -> None:
        """Shares leave one after another while the leader computes; answers come in rank order."""
        split = self._split
        if not isinstance(beta, float):
            beta = beta[split]
        inputs, outputs, alpha = *self._shares, self._alpha_s
        tell, hear = alpha * inputs[0] + beta * inputs[1], alpha * outputs[0] + beta * outputs[1]
        most, compute = out[1, split], compute[:, split]
        done, sent = compute[0], tell[0]
        for rank in range(1, len(compute)):
            sent = sent + tell[rank]
            late = np.maximum(done, sent + compute[rank]) + hear[rank]
            done = np.where(self._asked[rank], late, done)
        waiting = done - most
        out[3, split] = into = np.maximum(0.0, waiting - hear.sum(axis=0))
        out[4, split] = waiting - into
