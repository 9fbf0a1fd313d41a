"""NVIDIA's and KServe's clients and a real daemon: in whatever form, Hugging Face's numbers."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from daemons import Serving, serving
from test_daemon import EXACT, KINDS, case, error, reference

from prism_edge.serve.datatypes import Array, datatype_of

pytestmark = [pytest.mark.gloo, pytest.mark.slow]
__all__ = ["reference"]  # a fixture
KSERVE = Path(__file__).parents[2] / ".kserve"
FORMS = list(itertools.product([True, False], [True, False], [None, "gzip", "deflate"]))


@pytest.fixture(scope="module")
def daemon(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    models = [f"--model={name}={reference / name}" for name in KINDS]
    journal = tmp_path_factory.mktemp("clients") / "j.sqlite"
    with serving(*models, "--port", "0", "--journal", str(journal)) as found:
        yield found.until_ready()


def tensors(inputs: dict[str, Array], *, binary: bool) -> list[Any]:
    """The request's inputs; a second one goes the other way, so that both kinds are mixed."""
    found = []
    for index, (name, array) in enumerate(inputs.items()):
        found.append(triton.InferInput(name, list(array.shape), datatype_of(array)))
        found[-1].set_data_from_numpy(array, binary_data=binary == (index % 2 == 0))
    return found


@pytest.mark.parametrize("model", KINDS)
def test_json_binary_mixed_and_packed_give_one_answer(
    daemon: Serving, reference: Path, model: str
) -> None:
    inputs, logits, real = case(reference, model)
    found: list[Array] = []
    with triton.InferenceServerClient(daemon.url.removeprefix("http://")) as client:
        for binary_in, binary_out, packed in FORMS:
            result = client.infer(
                model,
                tensors(inputs, binary=binary_in),
                outputs=[triton.InferRequestedOutput("logits", binary_data=binary_out)],
                request_compression_algorithm=packed,
                response_compression_algorithm=packed,
            )
            found.append(result.as_numpy("logits"))
    assert error(found[0], logits, real) < EXACT
    assert all(np.array_equal(one, found[0]) for one in found)


def test_the_asynchronous_client_asks_many_at_once(daemon: Serving, reference: Path) -> None:
    inputs, logits, real = case(reference, "vit")

    async def ask_all() -> list[Array]:
        address = daemon.url.removeprefix("http://")
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            asked = [
                client.infer("vit", tensors(inputs, binary=binary)) for binary in (True, False) * 4
            ]
            return [reply.as_numpy("logits") for reply in await asyncio.gather(*asked)]

    for found in asyncio.run(ask_all()):
        assert error(found, logits, real) < EXACT


@pytest.mark.skipif(not KSERVE.is_dir(), reason="needs KServe's client in .kserve (make setup)")
def test_kserves_client_is_answered_in_every_form(
    daemon: Serving, reference: Path, tmp_path: Path
) -> None:
    cases, answers = tmp_path / "cases", tmp_path / "answers"
    cases.mkdir()
    answers.mkdir()
    for model in KINDS:
        np.savez(cases / f"{model}.npz", **case(reference, model)[0])
    program = Path(__file__).with_name("kserve_asks.py")
    argv = [sys.executable, "-I", "-S", str(program), str(KSERVE), daemon.url]
    done = subprocess.run([*argv, str(cases), str(answers)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for model in KINDS:
        _, logits, real = case(reference, model)
        found = list(np.load(answers / f"{model}.npz").values())
        assert len(found) == 4
        assert error(found[0], logits, real) < EXACT
        assert all(np.array_equal(one, found[0]) for one in found)
