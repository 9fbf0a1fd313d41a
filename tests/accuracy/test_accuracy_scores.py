"""Metrics equal scikit-learn's and SciPy's, and their intervals cover what they should."""

from __future__ import annotations

import numpy as np
import pytest

from prism_edge.accuracy.scores import (
    agreement,
    classification,
    cosine,
    hit,
    language,
    over_samples,
    regression,
    share,
)

DRAW = np.random.default_rng(3)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_classification_is_scikit_learns(classes: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels = DRAW.integers(classes, size=200)
    logits = DRAW.normal(size=(200, classes)) + 1.5 * np.eye(classes)[labels]
    found = {metric.name: metric.score for metric in classification(logits, labels)}
    top = logits.argmax(axis=1)
    average = "binary" if classes == 2 else "macro"
    assert found["accuracy"].value == metrics.accuracy_score(labels, top)
    assert found["f1"].value == pytest.approx(metrics.f1_score(labels, top, average=average))
    assert found["matthews"].value == pytest.approx(metrics.matthews_corrcoef(labels, top))
    if classes == 10:
        expected = metrics.top_k_accuracy_score(labels, logits, k=5)
        assert found["top5"].value == pytest.approx(expected)
    else:
        assert "top5" not in found
    for score in found.values():
        assert score.low is not None
        assert score.high is not None
        assert score.low < score.value < score.high
        assert score.n == 200


def test_regression_is_scipys_with_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    labels = DRAW.integers(0, 6, size=150).astype(float)
    found = labels + DRAW.normal(size=150)
    (metric,) = regression(found, labels)
    assert metric.score.value == pytest.approx(stats.spearmanr(found, labels).statistic)


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    (metric,) = language(np.array([10.0, 1.0]), np.array([5, 1]))
    assert metric.score.value == pytest.approx(np.exp(11 / 6))


def test_a_vector_is_1_to_itself_and_0_across() -> None:
    vectors = DRAW.normal(size=(50, 8))
    assert cosine(vectors, 3 * vectors).score.value == pytest.approx(1)
    assert cosine(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])).score.value == 0


def test_agreement_is_a_share_or_a_mean() -> None:
    assert agreement(np.array([1.0, 1.0, 0.0, 1.0])).score.value == 0.75
    assert agreement(np.array([0.5, 1.0])).score.value == 0.75


def test_intervals_cover_the_truth_about_19_times_in_20() -> None:
    shares = [share("accuracy", DRAW.random(100) < 0.9) for _ in range(400)]
    covered = np.mean([s.low <= 0.9 <= s.high for s in shares])  # type: ignore[operator]
    assert 0.9 < covered < 0.99
    means = []
    for _ in range(100):
        values = DRAW.normal(5, 1, size=60)
        means.append(over_samples("mean", 60, lambda i, v=values: float(v[i].mean())))  # type: ignore[misc]
    covered = np.mean([s.low <= 5 <= s.high for s in means])  # type: ignore[operator]
    assert 0.85 < covered <= 1
    # negative control: around another value they would not
    assert np.mean([s.low <= 5.5 <= s.high for s in means]) < 0.5  # type: ignore[operator]


def test_one_sample_has_no_interval() -> None:
    score = over_samples("mean", 1, lambda i: 2.0)
    assert (score.low, score.high) == (None, None)


def test_a_drop_of_which_no_drawing_differs_has_no_end() -> None:
    """So that the policy has it as not measured: five samples alike are no proof."""
    labels = np.array([0, 1, 0, 1, 1])
    logits = 2 * np.eye(2)[labels]
    nll, tokens = np.arange(1.0, 6.0), np.full(5, 4)
    for metric in (
        *classification(logits, labels)[1:],
        *regression(logits[:, 1], labels + 0.1),
        *language(nll, tokens),
    ):
        drop = metric.drop(metric)
        assert (drop.value, drop.low, drop.high) == (0, None, None), metric.name
    (other,), (exact,) = language(nll + np.eye(5)[0], tokens), language(nll, tokens)
    assert other.drop(exact).high is not None  # the control: one differs


def test_a_drop_is_of_the_same_samples() -> None:
    """So it is known much better than either accuracy."""
    exact = DRAW.random(1000) < 0.9
    same = hit("accuracy", exact.copy()).drop(hit("accuracy", exact))
    assert same.value == 0
    assert same.high is not None
    assert same.high < 0.004
    assert hit("accuracy", exact).score.high - 0.9 > 0.01  # type: ignore[operator]
    worse = hit("accuracy", exact & (np.arange(1000) % 20 > 0)).drop(hit("accuracy", exact))
    assert worse.low is not None
    assert 0 < worse.low < worse.value < 0.08
    tokens = np.full(50, 10)
    nll = DRAW.random(50) * 20
    (plan,), (local,) = language(nll * 1.1, tokens), language(nll, tokens)
    assert plan.drop(local).value > 0 > local.drop(plan).value  # less perplexity is better
    vectors = DRAW.normal(size=(50, 8))
    bent = cosine(vectors + 0.3 * DRAW.normal(size=(50, 8)), vectors)
    assert bent.drop(cosine(vectors, vectors)).value == pytest.approx(1 - bent.score.value)
