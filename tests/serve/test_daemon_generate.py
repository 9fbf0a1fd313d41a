"""Texts, images and generation through real daemons: Hugging Face's answers, each exactly once."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from daemons import PATIENCE_S, Asked, Pair, Serving, pair, serving, until
from reference_inputs import PROMPT, SEED, TEXTS

from prism_edge.energy.journal import read

pytestmark = [pytest.mark.gloo, pytest.mark.slow]

VOLTAGE = "voltage:p=2,dtype=fp32"
LONG = {"max_tokens": 1500, "plan": "local"}
DRAWN = {"temperature": 1.5, "top_k": 40, "top_p": 0.9, "seed": SEED}


@pytest.fixture(scope="module")
def models(inputs_reference: Path) -> dict[str, Path]:
    return {name: inputs_reference / name for name in ("gpt2", "bert", "vit")}


@pytest.fixture(scope="module")
def expected(inputs_reference: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((inputs_reference / "expected.json").read_text())[
        "continued"
    ]
    return found


@pytest.fixture(scope="module")
def alone(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    journal = tmp_path_factory.mktemp("alone") / "j.sqlite"
    listed = [word for name, at in models.items() for word in ("--model", f"{name}={at}")]
    with serving(*listed, "--port", "0", "--journal", str(journal)) as daemon:
        yield daemon.until_ready()


@pytest.fixture(scope="module")
def boards(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair"), {"gpt2": models["gpt2"]}) as found:
        yield found


def client(daemon: Serving) -> httpx.Client:
    headers = {"Authorization": f"Bearer {daemon.token}"} if daemon.token else {}
    return httpx.Client(
        base_url=daemon.url, headers=headers, trust_env=False, verify=False, timeout=PATIENCE_S
    )


def generate(daemon: Serving, text: str = PROMPT, **parameters: Any) -> dict[str, Any]:
    asked = {"id": "4", "text_input": text, "parameters": parameters}
    with client(daemon) as http:
        reply = http.post("/v2/models/gpt2/generate", json=asked)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    assert (found["id"], found["model_name"], found["model_version"]) == ("4", "gpt2", "1")
    return found


@contextmanager
def streaming(daemon: Serving, **parameters: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of one answer, as they come."""
    asked = {"text_input": PROMPT, "parameters": parameters}
    with (
        client(daemon) as http,
        http.stream("POST", "/v2/models/gpt2/versions/1/generate_stream", json=asked) as reply,
    ):
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = (line for line in reply.iter_lines() if line)
        yield (json.loads(line.removeprefix("data: ")) for line in lines)


def text_of(events: list[dict[str, Any]]) -> str:
    """The whole answer; it ended as it should."""
    assert [event["done"] for event in events] == [False] * (len(events) - 1) + [True]
    assert [("parameters" in event) for event in events] == [event["done"] for event in events]
    return "".join(event["text_output"] for event in events)


@pytest.mark.parametrize(("name", "options"), [("greedy", {}), ("drawn", DRAWN)])
def test_texts_go_on_as_hugging_faces_do(
    name: str, options: dict[str, Any], alone: Serving, expected: dict[str, str]
) -> None:
    found = generate(alone, max_tokens=24, **options)
    assert found["text_output"] == expected[name]
    assert found["parameters"]["finish_reason"] == "length"
    assert found["parameters"]["tokens"] == 24
    with streaming(alone, max_tokens=24, **options) as events:
        pieces = list(events)
    assert text_of(pieces) == expected[name]
    assert len(pieces) == 24  # one for each token
    assert pieces[-1]["parameters"]["plan"] == "local"


def test_another_seed_says_something_else(alone: Serving, expected: dict[str, str]) -> None:
    found = generate(alone, max_tokens=24, **{**DRAWN, "seed": SEED + 1})
    assert found["text_output"] != expected["drawn"]


def test_boards_that_read_together_say_the_same(boards: Pair, expected: dict[str, str]) -> None:
    leader = boards.together().leader
    found = generate(leader, max_tokens=24, plan=VOLTAGE)
    assert found["text_output"] == expected["greedy"]
    assert found["parameters"]["plan"] == VOLTAGE
    assert found["parameters"]["wire_bytes"] > 0


def test_a_stop_ends_the_answer_in_front_of_it(alone: Serving, expected: dict[str, str]) -> None:
    whole = expected["drawn"]
    stop = whole[5:8]
    found = generate(alone, max_tokens=24, stop=stop, **DRAWN)
    assert found["text_output"] == whole[: whole.index(stop)]
    assert found["parameters"]["finish_reason"] == "stop_sequence"
    with streaming(alone, max_tokens=24, stop=["never said", stop], **DRAWN) as events:
        pieces = list(events)
    assert text_of(pieces) == found["text_output"]
    assert pieces[-1]["parameters"]["finish_reason"] == "stop_sequence"


def test_several_at_once_are_each_answered_as_one_alone(alone: Serving) -> None:
    seeds = range(3)
    whole = [generate(alone, **LONG, **{**DRAWN, "seed": k})["text_output"] for k in seeds]
    assert len(set(whole)) == 3
    image = np.zeros((1, 3, 40, 40), np.uint8)
    logits = alone.infer("vit", {"pixel_values": image}).outputs["logits"]
    asked = [Asked(lambda k=k: generate(alone, **LONG, **{**DRAWN, "seed": k})) for k in seeds]
    for _ in range(3):
        found = alone.infer("vit", {"pixel_values": image}).outputs["logits"]
        assert np.array_equal(found, logits)
    assert [one.answer()["text_output"] for one in asked] == whole


def test_a_client_that_hangs_up_stops_its_generation(alone: Serving) -> None:
    def hung_up() -> bool:
        """Before its end, which comes within a second: a slow client tries again."""
        with streaming(alone, **LONG) as events:
            next(events)
            seen = alone.status()["generations"]
        until(lambda: alone.status()["generations"] == 0, "no generation under way")
        return seen == 1 and "hung up after" in str(alone.status()["last"][0]["error"])

    until(hung_up, "a row of who hung up")

    def gave_up() -> bool:
        with client(alone) as asked, suppress(httpx.ReadTimeout):
            asked.post(
                "/v2/models/gpt2/generate",
                json={"text_input": PROMPT, "parameters": LONG},
                timeout=httpx.Timeout(60, read=0.05),
            )
            return False
        return True

    until(gave_up, "a client that does not wait for the end")
    until(lambda: alone.status()["generations"] == 0, "no generation under way")
    counted = alone.get("/metrics").text
    assert 'method="none",model="gpt2",outcome="cancelled"' in counted


def test_the_requests_own_limit_is_one_event_more(alone: Serving) -> None:
    with client(alone) as http:
        asked = {"text_input": PROMPT, "parameters": {**LONG, "timeout": 1}}
        assert http.post("/v2/models/gpt2/generate", json=asked).status_code == 504
        assert http.post("/v2/models/gpt2/generate_stream", json=asked).status_code == 504
    limits_ms = itertools.cycle((40, 80, 160, 320, 640))

    def cut_short() -> dict[str, Any] | None:
        """What came last of an answer that was begun in time and not ended: the machine decides
        how long that takes."""
        parameters = {**LONG, "timeout": next(limits_ms) * 1000}
        asked = {"text_input": PROMPT, "parameters": parameters}
        with client(alone) as http:
            reply = http.post("/v2/models/gpt2/generate_stream", json=asked)
        assert reply.status_code in (200, 504), reply.text
        lines = [line for line in reply.text.splitlines() if line.startswith("data: ")]
        last: dict[str, Any] = json.loads(lines[-1].removeprefix("data: ")) if lines else {}
        return None if last.get("done", not lines) else last

    last = until(cut_short, "an answer that was begun and not ended")
    assert set(last) == {"error"}
    assert "no token within" in last["error"]


@pytest.mark.parametrize("options", [{}, DRAWN])
def test_the_leaders_engine_lost_on_the_way_costs_no_token(
    options: dict[str, Any], alone: Serving
) -> None:
    whole, engine = generate(alone, **LONG, **options)["text_output"], alone.engine()
    with streaming(alone, **LONG, **options) as events:
        pieces = [next(events), next(events)]
        os.kill(engine, signal.SIGKILL)
        pieces += list(events)
    assert text_of(pieces) == whole
    assert len(pieces) == 1500
    why = pieces[-1]["parameters"]["why"]
    assert "was lost with its engine; the next one went on locally after" in why
    alone.until_ready()


def test_a_worker_lost_on_the_way_is_not_missed(boards: Pair) -> None:
    leader = boards.together().leader
    parameters = {"max_tokens": 1500, "plan": VOLTAGE}
    whole = generate(leader, **parameters)["text_output"]
    epoch, engine = leader.status()["epoch"], boards.worker.engine()
    with streaming(leader, **parameters) as events:
        pieces = [next(events)]
        os.kill(engine, signal.SIGKILL)
        pieces += list(events)
    assert text_of(pieces) == whole
    assert pieces[-1]["parameters"]["plan"] == VOLTAGE
    until(lambda: (leader.status()["epoch"] or 0) > epoch, "a new group")


def test_a_worker_lost_while_it_reads_costs_the_prompt(boards: Pair) -> None:
    leader = boards.together().leader
    parameters = {"max_tokens": 30, "plan": VOLTAGE}
    whole = generate(leader, **parameters)["text_output"]
    engine = boards.worker.engine()
    os.kill(engine, signal.SIGSTOP)  # the prompt waits for it
    asked = Asked(lambda: generate(leader, **parameters))
    until(lambda: leader.status()["generations"] == 1, "a generation under way")
    os.kill(engine, signal.SIGKILL)
    found = asked.answer()
    assert found["text_output"] == whole
    assert found["parameters"]["plan"] == "local"
    assert found["parameters"]["why"].startswith(f"{VOLTAGE} failed (")


def test_a_drain_lets_texts_end(models: dict[str, Path], tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    arguments = ("--model", f"gpt2={models['gpt2']}", "--port", "0", "--journal", str(journal))
    with serving(*arguments) as daemon:
        whole = generate(daemon.until_ready(), **{**LONG, "max_tokens": 400})["text_output"]
        with streaming(daemon, **{**LONG, "max_tokens": 400}) as events:
            pieces = [next(events)]
            daemon.process.send_signal(signal.SIGTERM)
            pieces += list(events)
        assert text_of(pieces) == whole
        assert daemon.ended() == 0
    first, second = read(journal).requests
    assert first.ok
    assert second.ok


def test_images_and_texts_are_answered_as_hugging_face_does(
    alone: Serving, inputs_reference: Path
) -> None:
    images = [path.read_bytes() for path in sorted((inputs_reference / "images").iterdir())]
    cases = {"vit": ("image", images), "bert": ("text", [text.encode() for text in TEXTS])}
    with (
        np.load(inputs_reference / "logits.npz") as logits,
        triton.InferenceServerClient(alone.url.removeprefix("http://")) as asked,
    ):
        for model, (name, items) in cases.items():
            listed = asked.get_model_metadata(model)["inputs"]
            assert {"name": name, "datatype": "BYTES", "shape": [-1]} in listed
            for binary in (True, name == "image"):  # an image is no JSON string
                given = triton.InferInput(name, [len(items)], "BYTES")
                given.set_data_from_numpy(np.array(items, dtype=np.object_), binary_data=binary)
                found = asked.infer(model, [given]).as_numpy("logits")
                assert found.shape == logits[model].shape
                assert np.abs(found - logits[model]).max() < 1e-3, model
            assert np.abs(logits[model] - logits[model][:1]).max() > 0.1  # the control


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("gpt2/generate", {}, 400, "text_input must be a string"),
        ("gpt2/generate", {"text_input": ""}, 400, "the prompt has 0 tokens"),
        ("gpt2/generate", {"text_input": "a " * 3000}, 400, "reads 1 to 2000"),
        ("gpt2/generate", {"text_input": "a" * 300_000}, 413, "characters of text"),
        ("gpt2/generate", {"text_input": "a", "max_tokens": 0}, 400, "max_tokens is 0"),
        ("gpt2/generate", {"text_input": "a", "best_of": 3}, 400, "'best_of' is not known"),
        ("gpt2/generate", {"text_input": "a", "plan": "split:p=2"}, 400, "split:p=2"),
        ("gpt2/generate", {"text_input": "a", "stream": True}, 400, "generate_stream"),
        ("gpt2/generate_stream", {"text_input": "a", "top_k": 0}, 400, "top_k is 0"),
        ("bert/generate", {"text_input": "a"}, 400, "model bert does not generate text"),
        ("vit/generate", {"text_input": "a"}, 400, "takes pixel_values, no text"),
        ("none/generate", {"text_input": "a"}, 404, "model none: not served here"),
        ("gpt2/versions/2/generate", {"text_input": "a"}, 404, "version 2"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    path: str, body: dict[str, Any], status: int, message: str, alone: Serving
) -> None:
    with client(alone) as http:
        reply = http.post(f"/v2/models/{path}", json=body)
    assert reply.status_code == status, reply.text
    assert message in reply.json()["error"]


@pytest.mark.parametrize(
    ("model", "name", "item", "status", "message"),
    [
        ("vit", "image", "no image", 400, "image: not a JPEG or PNG"),
        ("vit", "text", "boards", 400, "no text"),
        ("bert", "image", "boards", 400, "no image"),
        ("bert", "text", "boards " * 600, 400, "positions"),
        ("bert", "text", "b" * 300_000, 413, "characters"),
    ],
)
def test_broken_inputs_are_refused(
    model: str, name: str, item: str, status: int, message: str, alone: Serving
) -> None:
    asked = {"inputs": [{"name": name, "datatype": "BYTES", "shape": [1], "data": [item]}]}
    with client(alone) as http:
        reply = http.post(f"/v2/models/{model}/infer", json=asked)
    assert reply.status_code == status, reply.text
    assert message in reply.json()["error"]


def test_a_model_without_a_tokenizer_says_so(inputs_reference: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).symlink_to(inputs_reference / "gpt2" / name)
    journal = ("--journal", str(tmp_path / "j.sqlite"))
    with serving("--model", f"gpt2={bare}", "--port", "0", *journal) as daemon:
        daemon.until_ready()
        with client(daemon) as http:
            reply = http.post("/v2/models/gpt2/generate", json={"text_input": "a"})
            assert reply.status_code == 400
            assert "has no tokenizer here: send input_ids" in reply.json()["error"]
            inputs = http.get("/v2/models/gpt2").json()["inputs"]
            assert "text" not in {tensor["name"] for tensor in inputs}
