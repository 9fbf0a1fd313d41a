"""Metrics of answers, with 95 % intervals; each row stands for one sample. Pure numpy.

Shares have Wilson's interval (1927), differences of two shares of the same samples Tango's (1998),
everything else the percentiles of a bootstrap over samples (Efron 1979), seeded.
Letters: S samples, C classes, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from prism_edge.intervals import tango, wilson
from prism_edge.schedule.accuracy import DROP

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``value`` of a metric over ``n`` samples; no interval of a single one."""

    metric: str
    value: float
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of ``n`` samples: ``of`` those with these numbers. ``hits`` [S]: where it is their
    share; ``less``: is better."""

    name: str
    n: int
    of: Callable[[Labels], float]
    hits: npt.NDArray[np.bool_] | None = None
    less: bool = False

    @property
    def score(self) -> Score:
        if self.hits is not None:
            return share(self.name, self.hits)
        return over_samples(self.name, self.n, self.of)

    def drop(self, exact: Metric) -> Score:
        """How much worse this is than ``exact``, of the same samples: pairs, so that it does not
        matter which of them are easy."""
        if self.hits is not None and exact.hits is not None:
            lost = int((exact.hits & ~self.hits).sum())
            won = int((self.hits & ~exact.hits).sum())
            low, high = tango(lost, won, self.n)
            return Score(metric=DROP, value=(lost - won) / self.n, n=self.n, low=low, high=high)
        sign = -1 if self.less else 1
        found = over_samples(DROP, self.n, lambda i: sign * (exact.of(i) - self.of(i)))
        if found.low is None or found.high is None:
            return found
        # drawings that are all alike say nothing of the next sample, as too few of them are
        alike = math.isclose(found.low, found.high, abs_tol=1e-12)
        return replace(found, low=None, high=None) if alike else found


def hit(name: str, hits: npt.NDArray[np.bool_]) -> Metric:
    """The share of hits.  [S]"""
    return Metric(name=name, n=len(hits), of=lambda i: float(hits[i].mean()), hits=hits)


def share(metric: str, hits: npt.NDArray[np.bool_]) -> Score:
    """The share of hits.  [S]"""
    low, high = wilson(int(hits.sum()), len(hits))
    return Score(metric=metric, value=float(hits.mean()), n=len(hits), low=low, high=high)


def over_samples(metric: str, n: int, of: Callable[[Labels], float]) -> Score:
    """``of`` the samples with these numbers; of all of them, and of DRAWS drawings."""
    draw = np.random.default_rng(0)
    value = of(np.arange(n))
    if n < 2:
        return Score(metric=metric, value=value, n=n, low=None, high=None)
    drawn = [of(draw.integers(n, size=n)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Score(metric=metric, value=value, n=n, low=float(low), high=float(high))


def classification(logits: Array, labels: Labels) -> list[Metric]:
    """Top-1, top-5 of more than five classes, F1 (of class 1 of two, else the mean over classes)
    and Matthews' correlation.  [S,C], [S]"""
    top = logits.argmax(axis=1)
    found = [hit("accuracy", top == labels)]
    if logits.shape[1] > 5:
        five = np.argpartition(-logits, 4, axis=1)[:, :5]
        found.append(hit("top5", (five == labels[:, None]).any(axis=1)))
    classes, n = logits.shape[1], len(labels)

    def over(name: str, of: Callable[[Labels], float]) -> Metric:
        def counted(i: Labels) -> float:
            counts = np.bincount(labels[i] * classes + top[i], minlength=classes**2)
            return of(counts.reshape(classes, classes))

        return Metric(name=name, n=n, of=counted)

    return [*found, over("f1", _f1), over("matthews", _matthews)]


def regression(found: Array, labels: Array) -> list[Metric]:
    """Spearman's rank correlation.  [S], [S]"""

    def spearman(i: Labels) -> float:
        a, b = _ranks(found[i]), _ranks(labels[i])
        spread = float(a.std() * b.std())
        return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread else 0.0

    return [Metric(name="spearman", n=len(labels), of=spearman)]


def language(nll: Array, tokens: Labels) -> list[Metric]:
    """Perplexity of the tokens; ``nll``: summed over each text's.  [S], [S]"""

    def perplexity(i: Labels) -> float:
        return float(np.exp(nll[i].sum() / tokens[i].sum()))

    return [Metric(name="perplexity", n=len(nll), of=perplexity, less=True)]


def cloze(nll: Array, questions: Labels, labels: Labels) -> tuple[list[Metric], Array]:
    """The share of questions whose likeliest text is the right one; and which text that is of
    each.  [S], [S], [S] -> , [questions]"""
    best = []
    for question in np.unique(questions):
        texts = np.flatnonzero(questions == question)
        best.append(texts[nll[texts].argmin()])
    return [hit("cloze", labels[best] == 1)], np.array(best)


def cosine(found: Array, exact: Array) -> Metric:
    """The mean cosine between a plan's vectors and the exact ones.  [S,D], [S,D]"""
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
    each = (found * exact).sum(axis=1) / np.maximum(norms, 1e-30)
    return Metric(name="cosine_to_exact", n=len(each), of=lambda i: float(each[i].mean()))


def agreement(same: Array) -> Metric:
    """How much a plan's choices are the exact model's.  [S], each a share of one sample's"""
    if set(np.unique(same)) <= {0.0, 1.0}:
        return hit("agreement", same > 0)
    return Metric(name="agreement", n=len(same), of=lambda i: float(same[i].mean()))


def _f1(counts: Labels) -> float:
    """Of counts by label and answer.  [C,C]"""
    right = np.diag(counts)
    each = 2 * right / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
    return float(each[1] if len(each) == 2 else each[counts.sum(axis=1) > 0].mean())


def _matthews(counts: Labels) -> float:
    """Matthews' correlation for any number of classes (Gorodkin 2004).  [C,C]"""
    total, answered, meant = counts.sum(), counts.sum(axis=0), counts.sum(axis=1)
    spread = math.sqrt(float(total**2 - (answered**2).sum()) * float(total**2 - (meant**2).sum()))
    return (
        float(np.diag(counts).sum() * total - (answered * meant).sum()) / spread if spread else 0.0
    )


def _ranks(values: Array) -> Array:
    """From 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[inverse]
