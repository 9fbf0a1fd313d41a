"""Bad input ends in words, before anything is sent, and the group answers the next request."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from nets import noise
from safetensors.torch import load_file, save_file

from prism_edge.engine.client import EngineClient, engine_argv
from prism_edge.engine.manifest import MANIFEST_BYTES, PROTOCOL, Manifest
from prism_edge.engine.messages import Array, Message
from prism_edge.errors import (
    ClusterError,
    InputError,
    ModelError,
    PeerLostError,
    PlanError,
    PrismError,
)
from prism_edge.families.codebook_file import Fitted, codebook_path, write_codebooks
from prism_edge.plan import Plan
from prism_edge.profile.engines import QUIET, Engines, local_hosts, start_engines
from prism_edge.settings import ModelSettings
from prism_edge.tensors.codebook import Codebooks
from prism_edge.transport.gloo import Gloo, GlooStore, connect_store
from prism_edge.wire import HEADER_BYTES

pytestmark = pytest.mark.gloo

HERE = "127.0.0.1"
PATIENCE_S = 60.0
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
IDS = np.random.default_rng(1).integers(0, 50, (2, 12))
FLOATS = np.random.default_rng(2).normal(size=(2, 3, 32, 32)).astype(np.float32)
# plans that take both boards, with what they may differ from the local answer
GOOD = {"prism:p=2,l=9": 1e-4, "voltage:p=2": 1e-4, "split:p=2": 1e-4, "split+prism:p=2,l=9": 1e-4}
Arrays = Mapping[str, Array]


def fitted(directory: Path, *, seed: int, tap: str = "after", k: int = 8) -> Path:
    """Codebooks beside a small model: random ones."""
    tables = noise(2, 4, k, 4, seed=seed)
    books = Codebooks(tables=tables, tap=tap)  # type: ignore[arg-type]
    return write_codebooks(directory, books, Fitted(samples=1, seed=seed, relative_error=(1.0,)))


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two boards' model directories: most are the same, some differ as their name says."""
    first = tmp_path_factory.mktemp("board-0")
    for name in ("vit", "weights", "alone", "coded", "uncoded", "tapped", "foreign", "deeper"):
        checkpoints.write(first / name, *checkpoints.vit())
    checkpoints.write(first / "bert", *checkpoints.bert("BertForSequenceClassification"))
    checkpoints.write(first / "gpt2", *checkpoints.gpt2("GPT2LMHeadModel"))
    for name in ("vit", "coded", "uncoded"):
        fitted(first / name, seed=3)
    fitted(first / "tapped", seed=3, tap="before")
    strangers = first / "strangers"
    others = {"foreign": {}, "deeper": {"num_hidden_layers": 3}}
    for name, changes in others.items():
        fill = checkpoints.random_fill(5)
        made = checkpoints.write(strangers / name, *checkpoints.vit(fill=fill, **changes))
        tables = noise(2 + len(changes), 4, 8, 4)
        about = Fitted(samples=1, seed=0, relative_error=(1.0,))
        shutil.copy(write_codebooks(made, Codebooks(tables=tables), about), first / name)
    second = first.parent / f"{first.name}-other"
    shutil.copytree(first, second)
    fill = checkpoints.random_fill(9)
    shutil.rmtree(second / "weights")
    checkpoints.write(second / "weights", *checkpoints.vit(fill=fill))
    fitted(second / "coded", seed=4)
    codebook_path(second / "uncoded", 4, 8).unlink()
    return [first, second]


EPOCHS = itertools.count(100)
NAMES = ("vit", "bert", "gpt2", "weights", "coded", "uncoded", "tapped", "foreign", "deeper")


@contextmanager
def unlike(*served: list[ModelSettings]) -> Iterator[Engines]:
    """Engines that serve different models, by rank."""
    engines = Engines(local_hosts(len(served)))
    try:
        for rank, (host, models) in enumerate(zip(engines.hosts, served, strict=True)):
            argv = engine_argv(models, address=HERE, leader=rank == 0, timeout_s=PATIENCE_S)
            process = host.popen(argv, env=QUIET, stdin=-1, stdout=-1)
            engines.clients.append(EngineClient(process, partial(engines._note, rank)))
        engines._ready = engines._everyone("ready", PATIENCE_S)
        yield engines
    finally:
        engines.close(now=True)


@pytest.fixture(scope="module")
def pair(boards: list[Path]) -> Iterator[Engines]:
    first, second = (
        [ModelSettings(name=name, path=board / name) for name in NAMES] for board in boards
    )
    alone = ModelSettings(name="alone", path=boards[0] / "alone")
    with unlike([*first, alone], second) as engines:
        engines.join()
        yield engines


@pytest.fixture
def group(pair: Engines) -> Iterator[Engines]:
    """The pair in a group, which a test must leave as it was."""
    assert_serves(pair)
    yield pair
    assert_serves(pair)


def assert_serves(engines: Engines) -> None:
    """Nobody has left, and all plans give the right values."""
    expected = run(engines, "vit", "local", {"pixel_values": PIXELS})
    for plan, allowed in GOOD.items():
        reply = ask(engines, "vit", plan, {"pixel_values": PIXELS[:3]})
        assert (reply.fields["plan"], reply.fields["fallback"]) == (str(Plan.parse(plan)), None)
        assert np.abs(reply.arrays["logits"] - expected[:3]).max() < allowed
    assert engines._events.empty(), engines._events.get()


def ask(engines: Engines, model: str, plan: str, arrays: Arrays) -> Message:
    return engines.ask(0, "run", arrays, model=model, plan=plan, timeout_s=PATIENCE_S)


def run(engines: Engines, model: str, plan: str, arrays: Arrays) -> Array:
    return ask(engines, model, plan, arrays).arrays["logits"]


def refused(
    engines: Engines, kind: type[PrismError], said: str, model: str, plan: str, arrays: Arrays
) -> None:
    with pytest.raises(kind, match=said) as raised:
        ask(engines, model, plan, arrays)
    assert type(raised.value) is kind


def odd(value: float, dtype: str = "float32") -> Array:
    pixels = FLOATS.astype(dtype)
    pixels[1, 2, 31, 31] = value
    return pixels


IMAGES = [
    ({"pixel_values": PIXELS[:0]}, r"shape \[0, 3, 32, 32\], expected .* at least 1"),
    ({"pixel_values": FLOATS[:0]}, r"shape \[0, 3, 32, 32\]"),
    ({"pixel_values": PIXELS[0]}, r"shape \[3, 32, 32\]"),
    ({"pixel_values": PIXELS[:, :1]}, r"shape \[4, 1, 32, 32\]"),
    ({"pixel_values": PIXELS[..., :16]}, r"shape \[4, 3, 32, 16\]"),
    ({"pixel_values": np.float32(3)}, r"shape \[1\]"),
    ({"pixel_values": PIXELS.astype(np.int64)}, "dtype int64, expected is uint8"),
    ({"pixel_values": FLOATS.astype(np.complex64)}, "dtype complex64"),
    ({"pixel_values": odd(np.nan)}, "holds NaN or infinite"),
    ({"pixel_values": odd(np.inf)}, "holds NaN or infinite"),
    ({"pixel_values": odd(-np.inf, "float16")}, "holds NaN or infinite"),
    ({"pixel_values": odd(1e300, "float64")}, "holds NaN or infinite"),  # none in fp32
    ({"pixel_values": PIXELS.astype("S1")}, r"holds \|S1, which no model takes"),
    ({"pixel_values": FLOATS.astype(">f4")}, "holds >f4, which no model takes"),
    ({"image": PIXELS}, r"inputs are \['image'\]"),
    ({"pixel_values": PIXELS, "more": PIXELS}, "inputs are"),
    ({}, r"inputs are \[\]"),
]
TEXTS = [
    ({"input_ids": np.zeros((2, 31), int)}, "31 tokens, the model has 30 positions"),
    ({"input_ids": IDS[:0]}, r"shape \[0, 12\]"),
    ({"input_ids": IDS[:, :0]}, r"shape \[2, 0\]"),
    ({"input_ids": IDS[0]}, r"shape \[12\]"),
    ({"input_ids": IDS + 50}, "input_ids holds .*, allowed are 0 to 49"),
    ({"input_ids": IDS - 50}, "input_ids holds -.*, allowed are 0 to 49"),
    ({"input_ids": IDS.astype(np.float32)}, "dtype float32, expected are integers"),
    ({"input_ids": np.full((2, 12), np.nan)}, "dtype float64, expected are integers"),
    ({"input_ids": IDS, "attention_mask": np.ones((2, 11), int)}, r"shape \[2, 11\]"),
    ({"input_ids": IDS, "attention_mask": np.ones((1, 12), int)}, r"shape \[1, 12\]"),
    ({"input_ids": IDS, "attention_mask": np.full((2, 12), 2)}, "attention_mask holds 2"),
    ({"attention_mask": np.ones((2, 12), int)}, "inputs are"),
]


@pytest.mark.parametrize("plan", ["local", "prism:p=2,l=2", "split:p=2"])
def test_images_that_are_none_are_refused(group: Engines, plan: str) -> None:
    for arrays, said in IMAGES:
        refused(group, InputError, said, "vit", plan, arrays)


@pytest.mark.parametrize("model", ["bert", "gpt2"])
@pytest.mark.parametrize("plan", ["local", "prism:p=2,l=2", "split:p=2"])
def test_texts_that_are_none_are_refused(group: Engines, model: str, plan: str) -> None:
    for arrays, said in TEXTS:
        refused(group, InputError, said, model, plan, arrays)


@pytest.mark.parametrize(
    ("model", "plan", "said"),
    [
        ("vit", "prism:p=2,l=10", "at most l=9"),
        ("vit", "prism:p=2,l=9/9/9", "3 .* 2 blocks"),
        ("vit", "prism:p=2,l=0/9", "1 or more segments"),
        ("vit", "prism:p=2", "l is missing"),
        ("vit", "prism:p=2,l=2,share=1/1/1", "share"),
        ("vit", "split:p=2,share=1", "share"),
        ("vit", "split:p=1", "p=1, allowed is 2 to 8"),
        ("vit", "voltage:p=9", "p=9, allowed is 2 to 8"),
        ("vit", "prism:p=2,l=2,dtype=fp8", "fp32, fp16 or int8"),
        ("vit", "prism:p=2,l=2,tap=between", "after or before"),
        ("vit", "prizm:p=2,l=2", "did you mean 'prism'"),
        ("bert", "prism:p=2,l=7", "at most l=6"),
        ("gpt2", "voltage:p=2,l=7", "cannot read 'l=7'"),
        ("gpt2", "astra:p=2", "g is missing"),
    ],
)
def test_plans_that_do_not_fit_are_refused(
    group: Engines, model: str, plan: str, said: str
) -> None:
    arrays = {"pixel_values": PIXELS} if model == "vit" else {"input_ids": IDS}
    refused(group, PlanError, said, model, plan, arrays)


def test_a_text_that_cannot_be_shared_is_refused(group: Engines) -> None:
    one = {"input_ids": IDS[:, :1]}
    for plan in ("voltage:p=2", "prism:p=2,l=1"):
        refused(group, PlanError, "2 ranks cannot share 1 tokens", "bert", plan, one)


def test_more_ranks_than_boards_are_left_is_answered_here_and_says_so(group: Engines) -> None:
    reply = ask(group, "vit", "prism:p=3,l=2", {"pixel_values": PIXELS})
    assert reply.fields["plan"] == "local"
    assert reply.fields["fallback"] == "only 2 of 3 boards were left when it began"


@pytest.mark.parametrize(
    ("model", "plan", "said"),
    [
        ("weights", "prism:p=2,l=2", "rank 1 holds another model 'weights' .* copy the same check"),
        ("weights", "split:p=2", "rank 1 holds another model 'weights'"),
        ("alone", "voltage:p=2", r"rank 1 does not serve model 'alone' \(it serves vit, "),
        ("coded", "astra:p=2,g=4,k=8", "rank 1 holds other codebooks g4-k8 of model 'coded'"),
        ("uncoded", "astra:p=2,g=4,k=8", "rank 1 had no codebooks g4-k8 of model 'uncoded'"),
    ],
)
def test_boards_that_disagree_are_told_apart_before_anything_is_sent(
    group: Engines, model: str, plan: str, said: str
) -> None:
    refused(group, PlanError, said, model, plan, {"pixel_values": PIXELS})
    assert run(group, model, "local", {"pixel_values": PIXELS}).shape == (4, 7)
    if model.endswith("coded"):  # they agree on all the rest
        reply = ask(group, model, "voltage:p=2", {"pixel_values": PIXELS})
        assert reply.fields["plan"] == "voltage:p=2,dtype=fp32"


@pytest.mark.parametrize(
    ("model", "plan", "kind", "said"),
    [
        ("vit", "astra:p=2,g=2,k=8", ModelError, r"astra-g2-k8.*no such file .*g=4 k=8"),
        ("vit", "astra:p=2,g=4", ModelError, r"astra-g4-k1024\.safetensors: no such file"),
        ("vit", "astra:p=2,g=4,k=8,tap=before", PlanError, "made for rows after the norm"),
        ("tapped", "astra:p=2,g=4,k=8", PlanError, "made for rows before the norm"),
        ("foreign", "astra:p=2,g=4,k=8", ModelError, "fitted to model .*, the one beside it is"),
        ("deeper", "astra:p=2,g=4,k=8", ModelError, "made for blocks = 3, needed is blocks = 2"),
    ],
)
def test_codebooks_that_do_not_fit_are_refused(
    group: Engines, model: str, plan: str, kind: type[PrismError], said: str
) -> None:
    refused(group, kind, said, model, plan, {"pixel_values": PIXELS})
    good = ask(group, "vit", "astra:p=2,g=4,k=8", {"pixel_values": PIXELS})
    assert (good.fields["plan"], good.fields["fallback"]) == ("astra:p=2,g=4,k=8", None)


def test_an_answer_without_numbers_is_no_answer(group: Engines) -> None:
    huge = {"pixel_values": np.full((4, 3, 32, 32), 3e38, np.float32)}
    for plan in ("local", "split:p=2", "prism:p=2,l=9"):
        said = "model 'vit': NaN or infinite values came out in logits, from finite inputs"
        refused(group, ModelError, said, "vit", plan, huge)


def test_what_overflows_on_the_wire_only_is_answered_here(group: Engines) -> None:
    # rows before the norm are as large as the pixels: too large for fp16, not for fp32
    large = {"pixel_values": np.full((4, 3, 32, 32), 1e6, np.float32)}
    expected = run(group, "vit", "local", large)
    assert np.isfinite(expected).all()
    reply = ask(group, "vit", "prism:p=2,l=9,dtype=fp16,tap=before", large)
    assert reply.fields["plan"] == "local"
    assert reply.fields["fallback"].startswith("NaN or infinite values came out in logits")
    assert np.array_equal(reply.arrays["logits"], expected)


def test_a_worker_that_cannot_go_on_says_why(boards: list[Path]) -> None:
    served = [[ModelSettings(name="vit", path=board / "vit")] for board in boards]
    books = codebook_path(boards[1] / "vit", 4, 8)
    kept = books.read_bytes()
    with unlike(*served) as engines:
        engines.join()
        books.unlink()  # after it was announced
        reply = ask(engines, "vit", "astra:p=2,g=4,k=8", {"pixel_values": PIXELS})
        books.write_bytes(kept)
        assert reply.fields["plan"] == "local"
        assert reply.fields["fallback"].startswith(f"rank 1 left: {books}: no such file")
        left = [engines._events.get(timeout=PATIENCE_S) for _ in range(2)]
        assert {message.kind for _, message in left} == {"left"}
        assert all("no such file" in message.fields["reason"] for _, message in left)
        engines.join()
        assert_serves(engines)


# one real engine, and a stranger for the other rank


def told(engines: Engines, kind: str) -> Message:
    """What the engine reports next, which must be of that kind."""
    _, message = engines._events.get(timeout=PATIENCE_S)
    assert message.kind == kind, message
    return message


def stranger(port: int, *, epoch: int, rank: int) -> Gloo:
    """This process as a rank of two."""
    return Gloo(
        connect_store(HERE, port, PATIENCE_S),
        port,
        epoch=epoch,
        rank=rank,
        size=2,
        address=HERE,
        timeout_s=PATIENCE_S,
        join_timeout_s=PATIENCE_S,
    )


def seat(epoch: int, rank: int, port: int) -> dict[str, object]:
    return {"epoch": epoch, "rank": rank, "size": 2, "store_host": HERE, "store_port": port}


def as_bytes(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def manifest(**changes: object) -> torch.Tensor:
    nothing: dict[str, object] = {"models": {}, "codebooks": {}}
    said = {"version": "7.0.0", "protocol": PROTOCOL, "device": "cpu", "dtype": "fp32", **nothing}
    return as_bytes(json.dumps({**said, **changes}).encode().ljust(MANIFEST_BYTES))


@pytest.fixture(scope="module")
def one(boards: list[Path]) -> Iterator[Engines]:
    with start_engines(
        local_hosts(1), [ModelSettings(name="vit", path=boards[0] / "vit")]
    ) as engines:
        yield engines


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("introduction", "said"),
    [
        (
            manifest(protocol=PROTOCOL + 1),
            rf"rank . runs prism-edge 7\.0\.0 with wire protocol {PROTOCOL + 1}, here it is",
        ),
        (as_bytes(b"hello".ljust(MANIFEST_BYTES)), "rank . sent no manifest"),
    ],
    ids=["another protocol", "no manifest"],
)
def test_a_board_of_another_release_is_refused_at_the_door(
    one: Engines, rank: int, introduction: torch.Tensor, said: str
) -> None:
    own = GlooStore(HERE) if rank == 1 else None
    port = own.port if own else one._ready[0].fields["store_port"]
    for sent, kind in ((introduction, "left"), (manifest(), "joined")):
        epoch = next(EPOCHS)  # one that no group has had: the store remembers
        one.clients[0].send("join", **seat(epoch, rank, port))
        other = stranger(port, epoch=epoch, rank=1 - rank)
        pending = other.begin({rank: sent}, {rank: MANIFEST_BYTES})
        heard = Manifest.decode(pending.wait()[rank].numpy().tobytes(), rank)
        assert list(heard.models) == ["vit"]
        message = told(one, kind)
        if kind == "left":
            with pytest.raises(ClusterError, match=said):
                raise ClusterError(message.fields["reason"])
        else:
            one.clients[0].send("leave", epoch=epoch, now=True)
            told(one, "left")
        other.close()


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b'["vit", "prizm:p=2", 1, 17, null, []]', b'["vit", "local", -1, 17, null, []]'],
)
def test_a_header_that_is_none_ends_the_group_with_a_reason(one: Engines, header: bytes) -> None:
    epoch, store = next(EPOCHS), GlooStore(HERE)
    one.clients[0].send("join", **seat(epoch, 1, store.port))
    leader = stranger(store.port, epoch=epoch, rank=0)
    leader.begin({1: manifest()}, {1: MANIFEST_BYTES}).wait()
    told(one, "joined")
    with suppress(PeerLostError):  # it may be gone before we see that it got this
        leader.begin({1: as_bytes(header.ljust(HEADER_BYTES))}, {}).wait()
    reason = told(one, "left").fields["reason"]
    assert reason.startswith("rank 0 sent a header that does not parse")
    assert store.store.get(f"left/{epoch}/1").decode() == reason
    leader.close()
    assert run(one, "vit", "local", {"pixel_values": PIXELS}).shape == (4, 7)


def test_a_model_that_a_worker_lacks_ends_the_group_with_a_reason(one: Engines) -> None:
    epoch, store = next(EPOCHS), GlooStore(HERE)
    one.clients[0].send("join", **seat(epoch, 1, store.port))
    leader = stranger(store.port, epoch=epoch, rank=0)
    leader.begin({1: manifest()}, {1: MANIFEST_BYTES}).wait()
    told(one, "joined")
    header = b'["other", "local", 1, 17, null, []]'
    with suppress(PeerLostError):  # it may be gone before we see that it got this
        leader.begin({1: as_bytes(header.ljust(HEADER_BYTES))}, {}).wait()
    reason = told(one, "left").fields["reason"]
    assert reason.startswith("rank 0 asks for model 'other', which is not here (models: vit)")
    leader.close()


# what is refused before an engine is ready


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_of_no_numbers_is_not_served(tmp_path: Path, value: float) -> None:
    path = checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    weights = load_file(path / "model.safetensors")
    weights["vit.encoder.layer.1.output.dense.weight"][3, 4] = value
    save_file(weights, path / "model.safetensors")
    said = r"board rank-0: .*vit: tensor 'encoder\.layer\.1\.output\.dense\.weight' holds NaN"
    with (
        pytest.raises(ModelError, match=said),
        start_engines(local_hosts(1), [ModelSettings(name="vit", path=path)]),
    ):
        pass
