"""Metrics of answers, with 95 % intervals; each row stands for one sample. Pure numpy.

Shares have Wilson's interval (1927), everything else the percentiles of a bootstrap over samples
(Efron 1979), seeded. Letters: S samples, C classes, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
DRAWS = 1000
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``value`` of a metric over ``n`` samples; no interval of a single one."""

    metric: str
    value: float
    n: int
    low: float | None
    high: float | None


def share(metric: str, hits: npt.NDArray[np.bool_]) -> Score:
    """The share of hits.  [S]"""
    n, p = len(hits), float(hits.mean())
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return Score(metric=metric, value=p, n=n, low=max(0.0, middle - half), high=middle + half)


def over_samples(metric: str, n: int, of: Callable[[Labels], float]) -> Score:
    """``of`` the samples with these numbers; of all of them, and of DRAWS drawings."""
    draw = np.random.default_rng(0)
    value = of(np.arange(n))
    if n < 2:
        return Score(metric=metric, value=value, n=n, low=None, high=None)
    drawn = [of(draw.integers(n, size=n)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Score(metric=metric, value=value, n=n, low=float(low), high=float(high))


def classification(logits: Array, labels: Labels) -> list[Score]:
    """Top-1, top-5 of more than five classes, F1 (of class 1 of two, else the mean over classes)
    and Matthews' correlation.  [S,C], [S]"""
    top = logits.argmax(axis=1)
    found = [share("accuracy", top == labels)]
    if logits.shape[1] > 5:
        five = np.argpartition(-logits, 4, axis=1)[:, :5]
        found.append(share("top5", (five == labels[:, None]).any(axis=1)))
    classes = logits.shape[1]

    def over(of: Callable[[Labels], float]) -> Callable[[Labels], float]:
        return lambda i: of(np.bincount(labels[i] * classes + top[i], minlength=classes**2))

    n = len(labels)
    return [
        *found,
        over_samples("f1", n, over(lambda counts: _f1(counts.reshape(classes, classes)))),
        over_samples("matthews", n, over(lambda counts: _matthews(counts.reshape(classes, -1)))),
    ]


def regression(found: Array, labels: Array) -> list[Score]:
    """Spearman's rank correlation.  [S], [S]"""

    def spearman(i: Labels) -> float:
        a, b = _ranks(found[i]), _ranks(labels[i])
        spread = float(a.std() * b.std())
        return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread else 0.0

    return [over_samples("spearman", len(labels), spearman)]


def language(nll: Array, tokens: Labels) -> list[Score]:
    """Perplexity of the tokens; ``nll``: summed over each text's.  [S], [S]"""
    return [
        over_samples(
            "perplexity",
            len(nll),
            lambda i: float(np.exp(nll[i].sum() / tokens[i].sum())),
        )
    ]


def cloze(nll: Array, exact: Array, questions: Labels, labels: Labels) -> list[Score]:
    """The share of questions whose likeliest text is the right one, and of those where the exact
    model finds the same likeliest.  [S], [S], [S], [S]"""
    right, same = [], []
    for question in np.unique(questions):
        texts = np.flatnonzero(questions == question)
        best = texts[nll[texts].argmin()]
        right.append(labels[best] == 1)
        same.append(best == texts[exact[texts].argmin()])
    return [share("cloze", np.array(right)), share("agreement", np.array(same))]


def cosine(found: Array, exact: Array) -> Score:
    """The mean cosine between a plan's vectors and the exact ones.  [S,D], [S,D]"""
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
    each = (found * exact).sum(axis=1) / np.maximum(norms, 1e-30)
    return over_samples("cosine_to_exact", len(each), lambda i: float(each[i].mean()))


def agreement(same: Array) -> Score:
    """How much a plan's choices are the exact model's.  [S], each a share of one sample's"""
    if set(np.unique(same)) <= {0.0, 1.0}:
        return share("agreement", same > 0)
    return over_samples("agreement", len(same), lambda i: float(same[i].mean()))


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
