"""Generated text: Hugging Face's where the plan is exact, one operator's wherever it is computed.

GPT-2s here are small, with large random weights: what they say depends on everything they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from puppet import Checkpoints, join, puppets
from simulator import affine, norm, simulate
from torch import Tensor

from prism_edge.errors import InputError, PeerLostError, PlanError
from prism_edge.families import load
from prism_edge.families.gpt2 import Gpt2
from prism_edge.families.model import Model
from prism_edge.generate import Tokens, generate
from prism_edge.layout import token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.request import follow
from prism_edge.sampling import Sampling
from prism_edge.spans import Recorder
from prism_edge.traffic import wire_bytes
from prism_edge.transport.gloo import GlooStore
from prism_edge.transport.loopback import Loopback, loopback_group, run_ranks
from prism_edge.wire import HEADER_BYTES

PROMPT = 13
NEW = 9
DRAWN = {"temperature": 1.5, "top_k": 40, "top_p": 0.9, "seed": 7}
EXACT_PLANS = ("local", "voltage:p=2", "voltage:p=3", "prism:p=2,l=6", "prism:p=3,l=4")
COMPRESSED = ("prism:p=2,l=2", "prism:p=3,l=2", "prism:p=4,l=1", "prism:p=2,l=2,tap=before")


def small_gpt2() -> Gpt2:
    return Gpt2(checkpoints.in_memory(*checkpoint(), "transformer."))


def checkpoint() -> tuple[checkpoints.Config, checkpoints.Weights]:
    """Four blocks of width 16 with the activation that the simulator knows. Its output layer is its
    own: a tied one would have it say the same token over and over."""
    source = torch.Generator().manual_seed(0)

    def fill(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source) * 0.5

    options = {"n_layer": 4, "activation_function": "gelu", "tie_word_embeddings": False}
    config, weights = checkpoints.gpt2(fill=fill, **options)
    return config, {**weights, "lm_head.weight": fill(50, 16)}


def prompts(batch: int = 3, tokens: int = PROMPT) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(3)
    return {"input_ids": torch.randint(1, 50, (batch, tokens), generator=source)}


def padded(lengths: Sequence[int], tokens: int = PROMPT) -> dict[str, Tensor]:
    real = torch.arange(tokens)[None] >= tokens - torch.tensor(lengths)[:, None]
    return {**prompts(len(lengths), tokens), "attention_mask": real.long()}


def steps_of(
    model: Model, plan: str, inputs: Mapping[str, Tensor], **options: object
) -> tuple[list[Tokens], list[Loopback]]:
    """All steps of a generation; no transport is open any more when the first token is decoded."""
    parsed = Plan.parse(plan)
    group = loopback_group(parsed.p, 20.0)
    sampling = Sampling(**{"max_new_tokens": NEW, **options})

    def leader() -> object:
        try:
            return generate(model, "net", parsed, dict(inputs), sampling, group[0], Recorder())
        finally:
            group[0].close()

    others = [lambda rank=rank: follow({"net": model}, group[rank]) for rank in range(1, parsed.p)]
    steps = run_ranks([leader, *others])[0]
    for transport in group:
        transport.close()
    sent = [transport.sent_bytes for transport in group]
    found = list(steps)
    assert [transport.sent_bytes for transport in group] == sent
    return found, group


def answers(steps: Sequence[Tokens]) -> list[list[int]]:
    """The tokens of each answer."""
    rows = zip(*(step.ids for step in steps), strict=True)
    return [[token for token in row if token is not None] for row in rows]


# against Hugging Face


@pytest.fixture(scope="module")
def hugging_face(generated: Path) -> dict[str, Tensor]:
    with np.load(generated / "generated.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.mark.parametrize("plan", EXACT_PLANS)
@pytest.mark.parametrize("case", ["one", "left", "stop", "drawn"])
def test_exact_plans_say_what_hugging_face_says(
    generated: Path, hugging_face: dict[str, Tensor], case: str, plan: str
) -> None:
    said = {key.partition(".")[2]: v for key, v in hugging_face.items() if key.startswith(case)}
    options: dict[str, object] = {"max_new_tokens": said["tokens"].shape[1]}
    options |= {"stop": (int(said["stop"]),)} if case == "stop" else {}
    options |= DRAWN if case == "drawn" else {}
    inputs = {"input_ids": said["ids"], "attention_mask": said["mask"]}
    steps, _ = steps_of(Checkpoints(generated)["gpt2"], plan, inputs, **options)
    expected = [[token for token in row if token] for row in said["tokens"].tolist()]
    assert answers(steps) == expected
    if case == "stop":
        assert len({len(answer) for answer in expected}) > 1
        assert set(steps[-1].ended) == {"stop", "length"}
    else:
        assert steps[-1].ended == ("length",) * len(expected)
    if case == "left":
        without, _ = steps_of(
            Checkpoints(generated)["gpt2"], plan, {"input_ids": said["ids"]}, **options
        )
        assert answers(without) != expected


# against one process that computes what all ranks compute


def simulated(
    model: Gpt2, plan: str, inputs: Mapping[str, Tensor], **mistakes: bool
) -> list[list[int]]:
    """Greedy answers of the same operator, every token from a new start: the last partition grows,
    the segments before it stay."""
    ids, parsed = inputs["input_ids"], Plan.parse(plan)
    real = inputs.get("attention_mask")
    real = torch.ones_like(ids) if real is None else real
    layout = token_layout(parsed, model.shape, ids.shape[1])
    segments = [layout.segments(rank) or (layout.parts[rank],) for rank in layout.order]
    for _ in range(NEW):
        position = (real.cumsum(dim=1) - 1).clamp(min=0)
        x = model._word.double()[ids] + model._position.double()[position]
        tap = parsed.tap or "after"
        rows = simulate(model.blocks, x, segments, causal=True, real=real, tap=tap, **mistakes)
        scores = affine(model._head, norm(model._norm, rows[:, -1:]))[:, 0]
        ids = torch.cat([ids, scores.argmax(dim=-1, keepdim=True)], dim=1)
        real = torch.cat([real, torch.ones_like(real[:, :1])], dim=1)
        segments[-1] = (*segments[-1], 1)
    return ids[:, -NEW:].tolist()


@pytest.mark.parametrize("plan", [*EXACT_PLANS, *COMPRESSED])
@pytest.mark.parametrize("inputs", [prompts(), padded([13, 4, 9])], ids=["whole", "padded"])
def test_ranks_say_what_one_process_says(plan: str, inputs: Mapping[str, Tensor]) -> None:
    model = small_gpt2()
    found = answers(steps_of(model, plan, inputs)[0])
    assert found == simulated(model, plan, inputs)
    if plan in COMPRESSED:
        assert found != simulated(model, plan, inputs, drop_counts=True)
        assert found != simulated(model, "local", inputs)


@pytest.mark.gloo
def test_processes_say_what_one_process_says(tmp_path: Path) -> None:
    model, inputs = small_gpt2(), prompts()
    checkpoints.write(tmp_path / "gpt2", *checkpoint())
    store = GlooStore("127.0.0.1")
    with puppets(1, store.port) as (worker,):
        worker.tell("join", epoch=1, rank=1, size=2)
        group = join(store.store, store.port, epoch=1, rank=0, size=2)
        worker.hear()
        worker.tell("follow", Checkpoints(tmp_path))
        for plan in ("prism:p=2,l=2", "voltage:p=2"):
            sampling = Sampling(max_new_tokens=NEW)
            steps = generate(model, "gpt2", Plan.parse(plan), inputs, sampling, group, Recorder())
            sent = group.sent_bytes
            assert answers(list(steps)) == simulated(model, plan, inputs)
            assert group.sent_bytes == sent
        parsed = Plan.parse("prism:p=2,l=2")
        steps = generate(model, "gpt2", parsed, inputs, sampling, group, Recorder())
        first = next(steps)
        worker.kill()  # nobody is needed any more
        assert answers([first, *steps]) == simulated(model, "prism:p=2,l=2", inputs)
        with pytest.raises(PeerLostError):
            generate(model, "gpt2", parsed, inputs, sampling, group, Recorder())
        group.close()


@pytest.mark.parametrize("plan", ["voltage:p=3", "prism:p=2,l=2,dtype=fp16", "prism:p=4,l=1"])
def test_a_prefill_sends_what_a_prompt_takes_and_no_answer(plan: str) -> None:
    model, inputs = small_gpt2(), prompts()
    _, group = steps_of(model, plan, inputs)
    parsed = Plan.parse(plan)
    expected = wire_bytes(parsed, model.shape, 3, PROMPT, "last")
    headers = (parsed.p - 1) * HEADER_BYTES
    assert sum(transport.sent_bytes for transport in group) == expected + headers
    assert wire_bytes(parsed, model.shape, 3, PROMPT) > expected  # all rows, gathered


@pytest.mark.parametrize("plan", ["local", "prism:p=2,l=2"])
def test_a_device_in_half_precision_generates(tmp_path: Path, plan: str) -> None:
    """Its scores are coarser, so a token may differ in time; the first ones do not."""
    half = load(checkpoints.write(tmp_path / "gpt2", *checkpoint()), "cpu", "bf16")
    expected = answers(steps_of(small_gpt2(), plan, padded([13, 4, 9]))[0])
    found = answers(steps_of(half, plan, padded([13, 4, 9]))[0])
    assert [len(answer) for answer in found] == [NEW] * 3
    assert [answer[:1] for answer in found] == [answer[:1] for answer in expected]


@pytest.mark.gpu
@pytest.mark.parametrize("plan", ["local", "voltage:p=2", "prism:p=2,l=2"])
def test_a_gpu_says_the_same(tmp_path: Path, plan: str) -> None:
    model = load(checkpoints.write(tmp_path / "gpt2", *checkpoint()), "cuda")
    for inputs in (prompts(), padded([13, 4, 9])):
        assert answers(steps_of(model, plan, inputs)[0]) == simulated(small_gpt2(), plan, inputs)


# what is drawn


def test_a_seed_says_the_same_again() -> None:
    model = small_gpt2()

    def said(seed: int, plan: str = "local") -> list[list[int]]:
        return answers(steps_of(model, plan, prompts(), temperature=1.5, seed=seed)[0])

    assert said(5) == said(5) == said(5, "voltage:p=2")
    assert said(5) != said(6)
    assert answers(steps_of(model, "local", prompts())[0]) != said(5)


def test_equal_prompts_draw_apart() -> None:
    twice = {"input_ids": prompts(1)["input_ids"].expand(2, -1)}
    greedy, drawn = (
        answers(steps_of(small_gpt2(), "local", twice, temperature=heat)[0]) for heat in (0, 1.5)
    )
    assert greedy[0] == greedy[1]
    assert drawn[0] != drawn[1]


# when it stops


def test_an_answer_ends_at_its_stop_token_and_the_others_go_on() -> None:
    model = small_gpt2()
    whole = answers(steps_of(model, "local", prompts())[0])
    stop = whole[1][3]
    steps, _ = steps_of(model, "local", prompts(), stop=(stop, 49))
    for full, short in zip(whole, answers(steps), strict=True):
        until = full.index(stop) + 1 if stop in full else NEW
        assert short == full[:until]
    for before, after in pairwise(steps):
        for old, new, token in zip(before.ended, after.ended, after.ids, strict=True):
            assert (token is None) == (old is not None)
            assert old is None or new == old
    assert None not in steps[-1].ended
    assert all(None in step.ended for step in steps[:-1])


def test_it_ends_where_the_models_positions_do() -> None:
    """30 positions: a prompt of 28 can be followed by a token at 28 and 29, and one behind them."""
    model = small_gpt2()
    steps, _ = steps_of(model, "local", padded([28, 25], tokens=28), max_new_tokens=5)
    assert [len(answer) for answer in answers(steps)] == [3, 5]
    assert steps[-1].ended == ("positions", "length")
    full, _ = steps_of(model, "prism:p=2,l=3", prompts(tokens=30), max_new_tokens=5)
    assert [step.ended for step in full] == [("positions",) * 3]
    alone, _ = steps_of(model, "local", padded([25], tokens=25), max_new_tokens=5)
    assert len(answers(alone)[0]) == 5


def test_one_token_is_the_prefills() -> None:
    recorder = Recorder()
    sampling = Sampling(max_new_tokens=1)
    steps = generate(small_gpt2(), "net", LOCAL, prompts(), sampling, None, recorder)
    assert [span.name for span in recorder.spans] == ["prefill"]
    (only,) = steps
    assert only.ended == ("length",) * 3
    assert [span.name for span in recorder.spans] == ["prefill", "decode"]


# what is refused


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 1, 0]], "padded on the left"),
        ([[0, 1, 0]], "padded on the left"),
        ([[1, 0, 1]], "padded on the left"),
        ([[0, 0, 0]], "padded on the left"),
        ([[0, 1, 2]], "attention_mask holds 2, allowed are 0 to 1"),
        ([[0, 1]], "attention_mask has shape"),
    ],
)
def test_other_masks_than_left_padding_are_refused(mask: list[list[int]], message: str) -> None:
    inputs = {"input_ids": torch.tensor([[4, 5, 6]]), "attention_mask": torch.tensor(mask)}
    with pytest.raises(InputError, match=message):
        steps_of(small_gpt2(), "local", inputs)


def test_what_cannot_be_generated_is_refused_before_anything_is_sent() -> None:
    config, weights = checkpoints.gpt2("GPT2Model")
    bare = Gpt2(checkpoints.in_memory(config, weights, "transformer."))
    group = loopback_group(2)[0]

    def start(model: Model, plan: str, inputs: dict[str, Tensor], **options: object) -> None:
        sampling = Sampling(**{"max_new_tokens": 3, **options})
        generate(model, "net", Plan.parse(plan), inputs, sampling, group, Recorder())

    with pytest.raises(InputError, match="gpt2 does not generate text: it answers 'last_hidden"):
        start(bare, "local", prompts())
    with pytest.raises(InputError, match=r"stop is \(50,\), allowed are tokens 0 to 49"):
        start(small_gpt2(), "local", prompts(), stop=(50,))
    with pytest.raises(InputError, match="position_ids: not taken here"):
        start(small_gpt2(), "local", {**prompts(), "position_ids": prompts()["input_ids"]})
    with pytest.raises(InputError, match="31 tokens, the model has 30 positions"):
        start(small_gpt2(), "local", prompts(tokens=31))
    for plan in ("split:p=2", "split+prism:p=2,l=2"):
        with pytest.raises(PlanError, match="the leader generates alone"):
            start(small_gpt2(), plan, prompts())
    with pytest.raises(PlanError, match=r"3 ranks, but 2 board\(s\) are in service"):
        start(small_gpt2(), "voltage:p=3", prompts())
    assert group.sent_bytes == 0
