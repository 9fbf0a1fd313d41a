"""Boards that tell each other what they hold: read as written, and what differs is named."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.engine.manifest import (
    MANIFEST_BYTES,
    PROTOCOL,
    Manifest,
    check_agreed,
    codebook_key,
)
from prism_edge.errors import ClusterError, PlanError
from prism_edge.plan import Plan

WORDS = st.text(max_size=12)
DIGESTS = st.text("0123456789abcdef", min_size=16, max_size=16)
OURS = Manifest(
    version="0.1.0",
    protocol=PROTOCOL,
    device="cpu",
    dtype="fp32",
    models={"vit": "a" * 16, "bert": "b" * 16},
    codebooks={"vit": {"g4-k8": "c" * 16}, "bert": {}},
)
PRISM = Plan.parse("prism:p=2,l=2")
ASTRA = Plan.parse("astra:p=2,g=4,k=8")


@given(
    st.dictionaries(WORDS, DIGESTS, max_size=20),
    st.dictionaries(WORDS, st.dictionaries(WORDS, DIGESTS, max_size=4), max_size=4),
    WORDS,
)
def test_a_manifest_is_read_as_it_was_written(
    models: dict[str, str], codebooks: dict[str, dict[str, str]], device: str
) -> None:
    manifest = replace(OURS, models=models, codebooks=codebooks, device=device)
    data = manifest.encode()
    assert len(data) == MANIFEST_BYTES
    assert Manifest.decode(data, 1) == manifest


def test_a_list_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    many = {f"model-{number}": "0" * 16 for number in range(400)}
    with pytest.raises(ClusterError, match=r"400 models .* of 8192 bytes; serve fewer"):
        replace(OURS, models=many).encode()


def test_another_protocol_is_refused_whatever_else_it_says() -> None:
    later = json.dumps({"version": "9.1.0", "protocol": PROTOCOL + 1, "models": ["new form"]})
    with pytest.raises(
        ClusterError,
        match=rf"rank 3 runs prism-edge 9\.1\.0 with wire protocol {PROTOCOL + 1}, here it is "
        rf"{PROTOCOL}; install the same prism-edge on every board",
    ):
        Manifest.decode(later.encode().ljust(MANIFEST_BYTES), 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * MANIFEST_BYTES,
        b"[]",
        b"{}",
        b'{"version": "1", "protocol": "two"}',
        json.dumps({"version": "1", "protocol": PROTOCOL}).encode(),
        json.dumps({**asdict(OURS), "models": ["vit"]}).encode(),
        json.dumps({**asdict(OURS), "codebooks": {"vit": 3}}).encode(),
    ],
)
def test_what_is_no_manifest_is_told_apart_from_one(data: bytes) -> None:
    with pytest.raises(ClusterError, match="rank 2 sent no manifest"):
        Manifest.decode(data, 2)


@pytest.mark.parametrize("plan", [PRISM, ASTRA, Plan.parse("split:p=3"), Plan.parse("local")])
def test_boards_that_hold_the_same_may_run_anything(plan: Plan) -> None:
    check_agreed(plan, "vit", OURS, {1: OURS, 2: OURS})


@pytest.mark.parametrize(
    ("plan", "changes", "said"),
    [
        (PRISM, {"models": {"bert": "b" * 16}}, r"rank 1 does not serve model 'vit' \(.*bert\)"),
        (PRISM, {"models": {}}, r"rank 1 does not serve model 'vit' \(it serves none\)"),
        (PRISM, {"models": {"vit": "d" * 16}}, "rank 1 holds another model 'vit' .* copy the same"),
        (ASTRA, {"models": {"vit": "d" * 16}}, "rank 1 holds another model 'vit'"),
        (ASTRA, {"codebooks": {}}, "rank 1 had no codebooks g4-k8 of model 'vit' .* restart"),
        (ASTRA, {"codebooks": {"vit": {"g4-k16": "c" * 16}}}, "rank 1 had no codebooks g4-k8"),
        (ASTRA, {"codebooks": {"vit": {"g4-k8": "d" * 16}}}, "rank 1 holds other codebooks g4-k8"),
    ],
)
def test_what_differs_is_named_with_the_rank(
    plan: Plan, changes: dict[str, dict[str, str]], said: str
) -> None:
    with pytest.raises(PlanError, match=f"^plan {plan}: {said}"):
        check_agreed(plan, "vit", OURS, {1: replace(OURS, **changes)})


@pytest.mark.parametrize(
    ("plan", "changes"),
    [
        ("local", {"models": {}}),  # runs here
        ("prism:p=2,l=2", {"codebooks": {}}),  # takes none
        ("astra:p=2,g=2,k=8", {"codebooks": {}}),  # ours are missing: the request says so
        ("voltage:p=2", {"models": {"vit": "a" * 16}}),  # another model is missing
        ("voltage:p=2", {"device": "cuda:0 Orin", "dtype": "fp16"}),  # boards may differ in that
    ],
)
def test_a_difference_that_does_not_matter_stops_nobody(
    plan: str, changes: dict[str, dict[str, str]]
) -> None:
    check_agreed(Plan.parse(plan), "vit", OURS, {1: replace(OURS, **changes)})


def test_only_ranks_of_the_plan_need_agree() -> None:
    odd = replace(OURS, models={})
    check_agreed(PRISM, "vit", OURS, {1: OURS, 2: odd})
    with pytest.raises(PlanError, match="rank 2"):
        check_agreed(Plan.parse("split:p=3"), "vit", OURS, {1: OURS, 2: odd})


def test_a_codebook_is_called_by_its_sizes() -> None:
    assert codebook_key(ASTRA.g, ASTRA.k) == "g4-k8"
