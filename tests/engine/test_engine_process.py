"""Real engines over loopback: what they say of themselves, measure, answer, and survive."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch

from prism_edge.errors import ClusterError, InputError, ModelError, PeerLostError, PlanError
from prism_edge.profile.engines import Engines, local_hosts, start_engines
from prism_edge.settings import ModelSettings

pytestmark = pytest.mark.gloo
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    path = checkpoints.write(tmp_path_factory.mktemp("vit"), *checkpoints.vit())
    return ModelSettings(name="vit", path=path)


@pytest.fixture(scope="module")
def alone(model: ModelSettings) -> Iterator[Engines]:
    with start_engines(local_hosts(1), [model]) as engines:
        yield engines


@pytest.fixture(scope="module")
def pair(model: ModelSettings) -> Iterator[Engines]:
    with start_engines(local_hosts(2), [model]) as engines:
        yield engines


def test_an_engine_says_what_it_holds(alone: Engines) -> None:
    (model,) = alone.models
    assert (model.name, len(model.fingerprint), model.shape.tokens) == ("vit", 16, 17)
    assert model.inputs == (("pixel_values", "FP32", (-1, 3, 32, 32)),)
    assert alone.distributed
    assert alone.fact(0, "device") == "cpu"
    assert alone.fact(0, "dtype") == "fp32"


def test_staging_is_measured_as_asked(alone: Engines) -> None:
    said = alone.ask(0, "stage", path="copy", direction="d2h", bytes=1 << 16, repeats=4).fields
    assert len(said["seconds"]) == 4
    with pytest.raises(InputError, match="sideways"):
        alone.ask(0, "stage", path="copy", direction="sideways", bytes=1, repeats=1)
    assert alone.paths(0) == {"copy": None}


@pytest.mark.parametrize("plan", ["local", "prism:p=3,l=2", "voltage:p=2"])
def test_a_part_is_measured_without_a_group(alone: Engines, plan: str) -> None:
    said = alone.ask(
        0, "measure", model="vit", plan=plan, rank=0, batch=2, tokens=17, repeats=3
    ).fields
    assert len(said["seconds"]) == 3
    assert all(second > 0 for second in said["seconds"])


def test_every_order_gets_an_answer(alone: Engines) -> None:
    with pytest.raises(ClusterError, match="_do_nonsense"):
        alone.ask(0, "nonsense")
    with pytest.raises(InputError, match="no model 'other'"):
        alone.ask(0, "run", {"pixel_values": PIXELS}, model="other", plan="local")
    with pytest.raises(InputError, match="pixel_values has shape"):
        alone.ask(0, "run", {"pixel_values": PIXELS[:, :2]}, model="vit", plan="local")
    with pytest.raises(PlanError, match="cannot read 'q=1'"):
        alone.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan="split:q=1")
    with pytest.raises(PeerLostError, match="no group to probe"):
        alone.ask(0, "probe", rank=1, operation="oneway", bytes=8, repeats=1)
    reply = alone.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan="local")
    assert reply.arrays["logits"].shape == (4, 7)


def test_exact_plans_agree_and_few_segments_do_not(pair: Engines) -> None:
    pair.join()

    def logits(plan: str) -> np.ndarray:
        reply = pair.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan=plan)
        assert reply.fields["fallback"] is None
        return reply.arrays["logits"]

    expected = logits("local")
    for plan in ("split:p=2", "voltage:p=2", "prism:p=2,l=9"):
        assert np.abs(logits(plan) - expected).max() < 1e-4
    assert np.abs(logits("prism:p=2,l=1") - expected).max() > 1e-2
    for operation in ("oneway", "exchange"):
        said = pair.ask(0, "probe", rank=1, operation=operation, bytes=5000, repeats=3).fields
        assert len(said["seconds"]) == 3
    pair.leave()


def test_workers_say_what_they_did(pair: Engines) -> None:
    pair.join()
    for plan, ranks in (("local", 0), ("split:p=2", 1), ("prism:p=2,l=2", 1), ("voltage:p=2", 1)):
        reply = pair.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan=plan)
        efforts = reply.fields["efforts"]
        assert len(efforts) == ranks, plan
        assert all(busy_s > 0 and waited_s > 0 for busy_s, waited_s in efforts), plan
    plan = "split:p=2,share=1/0"
    reply = pair.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan=plan)
    assert reply.fields["efforts"] == [None]
    pair.leave()


def test_a_group_left_can_be_joined_again(pair: Engines) -> None:
    for _ in range(2):
        pair.join()
        reply = pair.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan="split:p=2")
        assert reply.fields["plan"] == "split:p=2"
        pair.leave()
        said = pair.ask(
            1, "measure", model="vit", plan="split:p=2", rank=0, batch=1, tokens=17, repeats=1
        )
        assert len(said.fields["seconds"]) == 1


def test_a_request_is_answered_although_the_worker_was_killed(model: ModelSettings) -> None:
    with start_engines(local_hosts(2), [model], timeout_s=30.0) as engines:
        engines.join()
        expected = engines.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan="local")
        engines.clients[1].kill()
        reply = engines.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan="voltage:p=2")
        assert reply.fields["plan"] == "local"
        assert reply.fields["fallback"]
        assert reply.fields["efforts"] == []
        assert np.array_equal(reply.arrays["logits"], expected.arrays["logits"])
        with pytest.raises(ClusterError, match="board rank-1: the engine"):
            engines.ask(1, "stage", direction="d2h", bytes=8, repeats=1)


def test_an_answer_that_does_not_come_is_not_waited_for_forever(alone: Engines) -> None:
    alone.clients[0].process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(ClusterError, match="board rank-0: no answer to 'measure' after 0 s"):
            alone.ask(
                0,
                "measure",
                model="vit",
                plan="local",
                rank=0,
                batch=1,
                tokens=17,
                repeats=1,
                timeout_s=0.0,
            )
    finally:
        alone.clients[0].process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("kind", ["resnet", None])
def test_a_directory_that_is_no_model_is_refused_by_name(tmp_path: Path, kind: str | None) -> None:
    if kind is not None:
        (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    with (
        pytest.raises(ModelError, match=f"board rank-0: .*{tmp_path.name}"),
        start_engines(local_hosts(1), [ModelSettings(name="m", path=tmp_path)]),
    ):
        pass


def test_a_board_may_compute_in_half_precision(alone: Engines, model: ModelSettings) -> None:
    exact = alone.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan="local")
    with start_engines(local_hosts(2), [model], [("cpu", "fp32"), ("cpu", "bf16")]) as engines:
        assert [engines.fact(rank, "dtype") for rank in (0, 1)] == ["fp32", "bf16"]
        engines.join()
        mixed = engines.ask(0, "run", {"pixel_values": PIXELS}, model="vit", plan="voltage:p=2")
    assert mixed.fields["fallback"] is None
    assert mixed.arrays["logits"].dtype == np.float32
    difference = np.abs(mixed.arrays["logits"] - exact.arrays["logits"]).max()
    assert 0 < difference < 0.1 * np.abs(exact.arrays["logits"]).max()


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
@pytest.mark.parametrize(
    ("device", "dtype", "named"),
    [
        ("cuda", "fp32", "board rank-0: device cuda, but this torch .* has no CUDA"),
        ("cpu", "float16", "board rank-0: dtype 'float16', allowed is fp32, fp16, bf16"),
    ],
)
def test_a_device_or_dtype_that_is_not_there_is_refused_by_board(
    model: ModelSettings, device: str, dtype: str, named: str
) -> None:
    with (
        pytest.raises(ModelError, match=named),
        start_engines(local_hosts(1), [model], [(device, dtype)]),
    ):
        pass


def test_no_engine_outlives_its_context(model: ModelSettings) -> None:
    with pytest.raises(KeyboardInterrupt), start_engines(local_hosts(2), [model]) as engines:
        raise KeyboardInterrupt
    deadline_s = time.monotonic() + 60
    while any(client.process.poll() is None for client in engines.clients):
        assert time.monotonic() < deadline_s
    assert [client.process.returncode for client in engines.clients] == [-9, -9]
