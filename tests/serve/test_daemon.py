"""``prism-edge serve`` as processes: exact, never at a loss, clear when it cannot start."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from checkpoints import vit, write
from daemons import Asked, Pair, Serving, busy, cluster_toml, pair, serving, until

from prism_edge.energy.journal import read
from prism_edge.serve.datatypes import Array
from prism_edge.serve.oip_client import Reply

pytestmark = [pytest.mark.gloo, pytest.mark.slow]

EXACT = 1e-4
VISIBLE = 1e-1
REFERENCE = Path(__file__).parents[1] / "families" / "reference.py"
KINDS = {"vit": "bytes", "bert": "right", "gpt2": "left"}
VOLTAGE = "voltage:p=2,dtype=fp32"
NAMED = re.compile(r"\b(lost|board) b\b")  # the board, in whatever was seen of its loss
PIXELS = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hugging Face checkpoints and what Hugging Face answers for them."""
    root = tmp_path_factory.mktemp("reference")
    done = subprocess.run([sys.executable, str(REFERENCE), str(root)], capture_output=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("small") / "vit", *vit())


@pytest.fixture(scope="module")
def boards(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    models = {name: reference / name for name in KINDS}
    with pair(tmp_path_factory.mktemp("pair"), models) as found:
        yield found


@pytest.fixture
def together(boards: Pair) -> Pair:
    return boards.together()


@pytest.fixture
def alone(small: Path, tmp_path: Path) -> Iterator[Serving]:
    with serving(*one_board(small, tmp_path)) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def healthy(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One board that no test may harm; it lets everybody in, however slow it has been lately."""
    directory = tmp_path_factory.mktemp("healthy")
    path = directory / "c.toml"
    here = ["127.0.0.1"]
    cluster_toml(path, models={"net": small}, port=0, names="a", addresses=here, timeout_s=3600)
    journal = str(directory / "j.sqlite")
    with serving("--cluster", str(path), "--board", "a", "--journal", journal) as daemon:
        yield daemon.until_ready()


def one_board(model: Path, directory: Path) -> list[str]:
    return ["--model", f"net={model}", "--port", "0", "--journal", str(directory / "j.sqlite")]


def case(reference: Path, model: str) -> tuple[dict[str, Array], Array, Array | None]:
    """Inputs, Hugging Face's logits, and which of their positions mean something."""
    saved = np.load(reference / model / f"{KINDS[model]}.npz")
    inputs = {key[3:]: saved[key] for key in saved if key.startswith("in.")}
    return inputs, saved["out.logits"], saved.get("real")


def error(found: Array, expected: Array, real: Array | None) -> float:
    difference = np.abs(np.subtract(found, expected))
    return float((difference if real is None else difference[real == 1]).max())


# -- exact -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", KINDS)
def test_every_plan_over_http_answers_as_hugging_face_does(
    model: str, together: Pair, reference: Path
) -> None:
    inputs, logits, real = case(reference, model)
    everything = f"prism:p=2,l={13 if model == 'vit' else 11},dtype=fp32"  # a token a segment
    plans = ["local", "split:p=2", VOLTAGE, everything, "prism:p=2,l=2,dtype=fp32"]
    errors = {}
    for plan in plans:
        reply = together.leader.infer(model, inputs, plan)
        assert reply.parameters["plan"] == plan
        assert reply.parameters["why"] == "asked for by the request"
        errors[plan] = error(reply.outputs["logits"], logits, real)
    approximate = errors.pop(plans[-1])
    assert max(errors.values()) < EXACT, errors
    assert approximate > VISIBLE  # the control


def test_without_tables_the_choice_is_local_and_says_why(together: Pair, reference: Path) -> None:
    inputs, logits, real = case(reference, "vit")
    reply = together.leader.infer("vit", inputs)
    assert reply.parameters["plan"] == "local"
    assert "profile.toml" in str(reply.parameters["why"])
    assert error(reply.outputs["logits"], logits, real) < EXACT
    ready = together.leader.get("/v2/health/ready").json()
    assert "profile.toml" in ready["reason"]


def test_the_workers_own_door_sends_users_to_the_leader(together: Pair, reference: Path) -> None:
    inputs, _, _ = case(reference, "vit")
    with pytest.raises(Exception, match="is a worker; send requests to the leader, a at"):
        together.worker.infer("vit", inputs)


# -- boards that are lost ----------------------------------------------------------------------


def frozen(pid: int) -> int:
    os.kill(pid, signal.SIGSTOP)
    return pid


def asked(together: Pair, reference: Path) -> Asked:
    """A request that needs both boards, under way."""
    inputs, _, _ = case(reference, "vit")
    found = Asked(lambda: together.leader.infer("vit", inputs, VOLTAGE))
    busy(together.leader)
    return found


def check_local(reply: Reply, reference: Path) -> str:
    """It is the local answer to the last bit of our tolerance; the reason it gives."""
    _, logits, real = case(reference, "vit")
    assert reply.parameters["plan"] == "local"
    assert error(reply.outputs["logits"], logits, real) < EXACT
    return str(reply.parameters["why"])


def check_distributed(together: Pair, reference: Path) -> None:
    inputs, logits, real = case(reference, "vit")

    def shared() -> Reply | None:
        """None where the group was closed again, as for a board that was kept from saying hello."""
        reply = together.together().leader.infer("vit", inputs, VOLTAGE)
        return reply if reply.parameters["plan"] == VOLTAGE else None

    assert error(until(shared, "an answer of both").outputs["logits"], logits, real) < EXACT


@pytest.mark.parametrize("victim", ["engine", "agent"])
def test_a_worker_killed_during_a_request_costs_nothing_and_comes_back(
    victim: str, together: Pair, reference: Path
) -> None:
    engine = frozen(together.worker.engine())  # so that the request waits for what is killed
    request = asked(together, reference)
    os.kill(engine if victim == "engine" else together.worker.process.pid, signal.SIGKILL)
    why = check_local(request.answer(), reference)
    assert why.startswith(f"{VOLTAGE} failed (")
    assert NAMED.search(why), why
    assert why.endswith("answered locally")
    if victim == "agent":
        together.start_worker_again()
    check_distributed(together, reference)


def test_a_frozen_worker_engine_is_replaced_by_its_agent(together: Pair, reference: Path) -> None:
    engine = frozen(together.worker.engine())
    why = check_local(asked(together, reference).answer(), reference)
    assert NAMED.search(why), why
    check_distributed(together, reference)
    assert together.worker.engine() != engine


def test_a_frozen_board_falls_silent_and_is_readmitted_when_it_wakes(
    together: Pair, reference: Path
) -> None:
    pids = [frozen(together.worker.process.pid), frozen(together.worker.engine())]
    try:
        why = check_local(asked(together, reference).answer(), reference)
        assert "board b: silent for" in why
        inputs, _, _ = case(reference, "vit")
        reply = together.leader.infer("vit", inputs, VOLTAGE)
        assert "only a in service" in check_local(reply, reference)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    check_distributed(together, reference)


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_the_leaders_own_engine_lost_during_a_request(
    fate: signal.Signals, together: Pair, reference: Path
) -> None:
    """Answered by the next engine; the worker is frozen only to hold the request."""
    ours, theirs = together.leader.engine(), frozen(together.worker.engine())
    try:
        request = asked(together, reference)
        os.kill(ours, fate)
        why = check_local(request.answer(), reference)
        assert "lost with its engine; answered locally by the next one" in why
    finally:
        with contextlib.suppress(ProcessLookupError):  # its agent has replaced it
            os.kill(theirs, signal.SIGCONT)
    check_distributed(together, reference)


def test_a_worker_told_to_stop_costs_nothing(together: Pair, reference: Path) -> None:
    assert together.worker.stop() == 0
    inputs, _, _ = case(reference, "vit")
    check_local(together.leader.infer("vit", inputs, VOLTAGE), reference)
    together.start_worker_again()
    check_distributed(together, reference)


def test_the_journal_remembers_the_losses(together: Pair, reference: Path) -> None:
    os.kill(together.worker.engine(), signal.SIGKILL)
    until(lambda: not together.in_group(), "the loss")
    check_distributed(together, reference)
    path = together.directory / "journal.sqlite"

    def lost() -> bool:
        return any(
            event.kind == "lost" and NAMED.search(event.detail or "") for event in read(path).events
        )

    until(lost, "the loss in the journal")
    until(lambda: read(path).requests, "the answer after it in the journal")
    assert {request.ok for request in read(path).requests} == {True}


# -- one board ---------------------------------------------------------------------------------


def test_a_board_alone_needs_no_file(alone: Serving) -> None:
    reply = alone.until_ready().infer("net", {"pixel_values": PIXELS})
    assert reply.outputs["logits"].shape == (4, 7)
    assert reply.parameters["why"] == "local: this board serves alone"
    assert alone.stop() == 0
    assert "Traceback" not in alone.log()


def test_while_it_loads_it_says_so(alone: Serving) -> None:
    engine = frozen(alone.engine())  # for as long as it is asked
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}]}
    refused = httpx.post(f"{alone.url}/v2/models/net/infer", json=body, trust_env=False, timeout=60)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert "loading" in refused.json()["error"]
    assert alone.get("/v2/models/net").status_code == 503
    assert alone.get("/v2/models/net/ready").status_code == 503
    assert alone.get("/v2/health/ready").status_code == 503
    assert alone.get("/v2/health/live").status_code == 200
    assert alone.get("/v2/models/bet").status_code == 404
    os.kill(engine, signal.SIGCONT)
    alone.until_ready()
    assert alone.get("/v2/models/net").json()["inputs"][0]["name"] == "pixel_values"


def test_twenty_clients_at_once_are_all_answered_some_together(healthy: Serving) -> None:
    expected = healthy.infer("net", {"pixel_values": PIXELS}).outputs["logits"]

    def ask(number: int) -> Asked:
        one = PIXELS[number % 4 : number % 4 + 1]
        return Asked(lambda: healthy.infer("net", {"pixel_values": one}))

    engine = frozen(healthy.engine())  # until all of them wait, for far less than its agent bears
    clients = [ask(0)]
    busy(healthy)
    clients += [ask(number) for number in range(1, 20)]
    until(lambda: healthy.status()["queue"] == 19, "19 requests that wait")
    os.kill(engine, signal.SIGCONT)
    replies = [client.answer() for client in clients]
    for number, reply in enumerate(replies):
        assert np.abs(reply.outputs["logits"] - expected[number % 4]).max() < EXACT
    assert sorted(reply.parameters["batch"] for reply in replies) == [1] + [3] * 3 + [8] * 16


def test_stopping_answers_what_is_under_way_and_refuses_the_rest(alone: Serving) -> None:
    engine = frozen(alone.until_ready().engine())
    request = Asked(lambda: alone.infer("net", {"pixel_values": PIXELS}))
    busy(alone)
    os.killpg(alone.process.pid, signal.SIGTERM)  # to its engine as well, as systemd does
    until(lambda: alone.get("/v2/health/ready").json().get("error") == "draining", "draining")
    with pytest.raises(Exception, match="503: the daemon is draining"):
        alone.infer("net", {"pixel_values": PIXELS})
    assert not request.done
    os.kill(engine, signal.SIGCONT)
    assert request.answer().outputs["logits"].shape == (4, 7)
    assert alone.ended() == 0
    assert not Path(f"/proc/{engine}").exists()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(second: signal.Signals, alone: Serving) -> None:
    engine = frozen(alone.until_ready().engine())
    requests = [Asked(lambda: alone.infer("net", {"pixel_values": PIXELS}))]
    busy(alone)
    requests += [Asked(lambda: alone.infer("net", {"pixel_values": PIXELS})) for _ in range(7)]
    until(lambda: alone.status()["queue"] == 7, "seven that wait")
    alone.process.send_signal(signal.SIGTERM)
    until(lambda: alone.get("/v2/health/ready").json().get("error") == "draining", "draining")
    alone.process.send_signal(second)
    assert alone.ended() == 130
    until(lambda: not Path(f"/proc/{engine}").exists(), "the engine's end")
    for request in requests:
        with pytest.raises(Exception, match=r"127\.0\.0\.1"):
            request.answer()


def test_a_daemon_that_is_killed_leaves_no_engine(alone: Serving) -> None:
    engine = alone.until_ready().engine()
    alone.process.kill()
    until(lambda: not Path(f"/proc/{engine}").exists(), "the engine's end")


# -- bad input ---------------------------------------------------------------------------------


def pixels(values: object, shape: list[int], datatype: str = "FP32") -> dict[str, object]:
    tensor = {"name": "pixel_values", "datatype": datatype, "shape": shape, "data": values}
    return {"inputs": [tensor]}


ONE = [1, 3, 32, 32]
ZEROS = [0.0] * (3 * 32 * 32)
BAD: dict[str, tuple[str, dict[str, object], int, str]] = {
    "wrong size": ("net", pixels([0.0] * 3, [1, 3, 1, 1]), 400, "pixel_values"),
    "wrong rank": ("net", pixels(ZEROS, [3 * 32 * 32]), 400, "pixel_values"),
    "too few values": ("net", pixels([0.0], ONE), 400, "pixel_values"),
    "not a number": ("net", pixels(["NaN", *ZEROS[1:]], ONE), 400, "NaN"),
    "infinite": ("net", pixels(["Infinity", *ZEROS[1:]], ONE), 400, "infinite"),
    "text": ("net", pixels(["x"], [1], "BYTES"), 400, "pixel_values"),
    "no batch": ("net", pixels([], [0, 3, 32, 32]), 400, "batch"),
    "no input": ("net", {"inputs": []}, 400, "inputs"),
    "another input": (
        "net",
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0.0]}]},
        400,
        "pixel_values",
    ),
    "unknown model": ("bet", pixels(ZEROS, ONE), 404, "bet"),
    "unknown plan": ("net", {**pixels(ZEROS, ONE), "parameters": {"plan": "volt"}}, 400, "voltage"),
    "more ranks than boards": (
        "net",
        {**pixels(ZEROS, ONE), "parameters": {"plan": "voltage:p=2"}},
        400,
        "1 board",
    ),
    "not a plan": ("net", {**pixels(ZEROS, ONE), "parameters": {"plan": 7}}, 400, "plan"),
}


def test_bad_input_is_refused_by_name_and_harms_nobody(healthy: Serving) -> None:
    engine = healthy.engine()
    for name, (model, body, status, said) in BAD.items():
        url = f"{healthy.url}/v2/models/{model}/infer"
        refused = httpx.post(url, json=body, trust_env=False, timeout=60)
        assert (name, refused.status_code) == (name, status), refused.text
        assert said in refused.json()["error"]
    good = httpx.post(
        f"{healthy.url}/v2/models/net/infer", json=pixels(ZEROS, ONE), trust_env=False, timeout=60
    )
    assert good.status_code == 200  # the control, by the same engine
    assert healthy.engine() == engine
    assert "Traceback" not in healthy.log()


def test_a_malformed_request_in_a_batch_harms_only_itself(healthy: Serving) -> None:
    engine = frozen(healthy.engine())
    images = PIXELS.astype(np.float32) / 255
    broken = images[1:2].copy()
    broken[0, 0, 0, 0] = np.nan
    first = Asked(lambda: healthy.infer("net", {"pixel_values": images}))
    busy(healthy)
    waiting = [
        Asked(lambda array=array: healthy.infer("net", {"pixel_values": array}))  # type: ignore[misc]
        for array in (images[:1], broken, images[2:3])
    ]
    until(lambda: healthy.status()["queue"] == 3, "three that share a batch")
    os.kill(engine, signal.SIGCONT)
    expected = first.answer().outputs["logits"]
    with pytest.raises(Exception, match="NaN"):
        waiting[1].answer()
    for number in (0, 2):
        found = waiting[number].answer().outputs["logits"]
        assert np.abs(found - expected[number]).max() < EXACT


# -- daemons that cannot start -----------------------------------------------------------------


def refusal(*argv: str, code: int) -> str:
    with serving(*argv) as daemon:
        assert daemon.ended() == code, daemon.log()
        said = daemon.log()
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    return errors[0]


def test_a_port_in_use_is_named(small: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        argv = [*one_board(small, tmp_path), "--port", str(port)]
        assert f"127.0.0.1:{port}" in refusal(*argv, code=2)


def test_an_address_of_another_machine_is_named(small: Path, tmp_path: Path) -> None:
    said = refusal(*one_board(small, tmp_path), "--host", "192.0.2.7", code=2)
    assert "192.0.2.7" in said


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert str(missing) in refusal(*one_board(missing, tmp_path), code=1)
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal(*one_board(tmp_path / "empty", tmp_path), code=1)


def test_an_unknown_board_is_named_with_the_nearest(small: Path, tmp_path: Path) -> None:
    path = cluster_toml(tmp_path / "c.toml", models={"net": small}, port=0)
    said = refusal("--cluster", str(path), "--board", "aa", code=2)
    assert "'aa'; did you mean 'a'?" in said


def test_a_worker_needs_to_know_its_leaders_port(small: Path, tmp_path: Path) -> None:
    path = cluster_toml(tmp_path / "c.toml", models={"net": small}, port=0)
    assert "port = 0" in refusal("--cluster", str(path), "--board", "b", code=2)


def test_no_model_is_misuse(tmp_path: Path) -> None:
    assert "--model NAME=DIR" in refusal("--port", "0", code=2)


def test_a_journal_has_one_writer(alone: Serving, small: Path, tmp_path: Path) -> None:
    alone.until_ready()
    said = refusal(*one_board(small, tmp_path), code=1)
    assert "j.sqlite: another process writes this journal" in said
    assert alone.stop() == 0
    with serving(*one_board(small, tmp_path)) as next_one:  # the control: it is free again
        assert next_one.until_ready().stop() == 0


def test_a_journal_that_cannot_be_used_is_named(small: Path, tmp_path: Path) -> None:
    def journal(path: Path) -> list[str]:
        return [*one_board(small, tmp_path), "--journal", str(path)]

    text = tmp_path / "text"
    text.write_text("not a database, and long enough to be taken for one " * 20)
    assert "not a usable journal" in refusal(*journal(text), code=1)
    assert "name another journal" in refusal(*journal(text / "j.sqlite"), code=1)
    assert "name another journal" in refusal(*journal(text / "below" / "j.sqlite"), code=1)


def test_a_token_file_that_others_can_read_is_refused(small: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    path = cluster_toml(tmp_path / "c.toml", models={"net": small}, port=0, token_file=str(token))
    argv = ["--cluster", str(path), "--board", "a", "--journal", str(tmp_path / "j.sqlite")]
    assert "chmod 600" in refusal(*argv, code=2)
    token.chmod(0o600)
    token.write_text("  \n")
    assert "is empty" in refusal(*argv, code=2)


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
def test_a_board_without_the_device_it_should_have_is_named(small: Path, tmp_path: Path) -> None:
    path = cluster_toml(tmp_path / "c.toml", models={"net": small}, port=0)
    path.write_text(path.read_text().replace('name = "a"\n', 'name = "a"\ndevice = "cuda"\n', 1))
    said = refusal("--cluster", str(path), "--board", "a", code=1)
    assert "board a: device cuda, but this torch" in said
