"""The Hugging Face process answers what our engines answer, and says so when it cannot start."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import checkpoints
import numpy as np
import pytest

from prism_edge.bench.reference import start_reference
from prism_edge.bench.rounds import Arrays, inputs, require_same
from prism_edge.cluster.local import LocalHost
from prism_edge.engine.messages import Message
from prism_edge.errors import ClusterError, ModelError
from prism_edge.profile.engines import start_engines
from prism_edge.settings import ModelSettings

HOST = LocalHost(name="edge-1", core=min(os.sched_getaffinity(0)))
MAKERS = {
    "vit": partial(checkpoints.vit, num_labels=7),
    "bert": checkpoints.bert,
    "gpt2": checkpoints.gpt2,
}


@pytest.mark.gloo
@pytest.mark.parametrize("family", MAKERS)
def test_it_answers_what_our_local_plan_answers(family: str, tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "m", *MAKERS[family]())
    settings = ModelSettings(name="m", path=tmp_path / "m")
    with (
        start_reference(HOST, tmp_path / "m") as reference,
        start_engines([HOST], [settings]) as engines,
    ):

        def run(arrays: Arrays, *, outputs: bool = False, prefill: bool = False) -> Message:
            return reference.ask("run", arrays, outputs=outputs, prefill=prefill)

        _, given = inputs(engines.models[0], 3, 17, 0)
        theirs = run(given, outputs=True)
        ours = engines.ask(0, "run", given, model="m", plan="local").arrays
        require_same("m", ours, theirs.arrays)
        other = {name: np.ascontiguousarray(array[::-1]) for name, array in given.items()}
        with pytest.raises(ModelError, match="differs from Hugging Face's"):
            require_same("m", ours, run(other, outputs=True).arrays)
        assert theirs.fields["seconds"] > 0
        assert run(given).arrays == {}
        assert reference.ask("kernel", given).fields["attention_kernel"] == "flash"
        assert reference.ask("memory", reset=False).fields["peak_bytes"] > 1 << 20
        with pytest.raises(ClusterError):  # and goes on
            run({"nonsense": given[next(iter(given))]}, outputs=True)
        run(given)
        if engines.models[0].generates:
            theirs, more = run(given, prefill=True), {"sampling": {"max_new_tokens": 1}}
            words = engines.ask(0, "generate", given, model="m", plan="local", **more)
            assert theirs.fields["tokens"] == words.fields["tokens"]
            assert np.shape(words.fields["tokens"]) == (3, 1)


@pytest.mark.gloo
def test_a_directory_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match=r"edge-1: transformers cannot load .*none"),
        start_reference(HOST, tmp_path / "none"),
    ):
        pass
