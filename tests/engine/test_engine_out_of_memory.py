"""A batch that there is no memory for is refused in words, and the engine goes on."""

from __future__ import annotations

import queue
import resource
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch

from prism_edge.engine.client import EngineClient, engine_argv, local_popen
from prism_edge.engine.memory import no_memory, status_bytes
from prism_edge.engine.messages import Message
from prism_edge.errors import TooLargeError
from prism_edge.settings import ModelSettings

PATIENCE_S = 60.0
ROOM_BYTES = 48 << 20
ROWS = 2000  # 25 MB of pixels, 98 MB once they are floats: room for the one, not for the other


def test_what_torch_says_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert "send fewer rows" in str(no_memory(caught.value))
    assert "RAM" in str(no_memory(MemoryError()))
    assert no_memory(RuntimeError("shapes differ")) is None  # the control


@pytest.mark.gloo
@pytest.mark.slow
def test_a_batch_without_memory_is_refused_and_the_next_is_answered(tmp_path: Path) -> None:
    sizes = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 1}
    net = checkpoints.vit(num_attention_heads=3, image_size=64, **sizes)
    model = ModelSettings(name="net", path=checkpoints.write(tmp_path / "net", *net))
    said: queue.Queue[Message] = queue.Queue()
    argv = engine_argv([model], address="127.0.0.1", leader=True, timeout_s=10.0)
    engine = EngineClient(local_popen(argv), said.put)
    try:
        assert said.get(timeout=PATIENCE_S).kind == "ready"
        pid = engine.process.pid
        one = {"pixel_values": np.zeros((1, 3, 64, 64), dtype=np.uint8)}
        many = {"pixel_values": np.zeros((ROWS, 3, 64, 64), dtype=np.uint8)}
        before = engine.ask("run", one, model="net", plan="local").result(PATIENCE_S)
        size = status_bytes(Path(f"/proc/{pid}/status").read_text(), "VmSize")
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (size + ROOM_BYTES, hard))
        with pytest.raises(TooLargeError, match="send fewer rows"):
            engine.ask("run", many, model="net", plan="local").result(PATIENCE_S)
        after = engine.ask("run", one, model="net", plan="local").result(PATIENCE_S)
        assert np.array_equal(after.arrays["logits"], before.arrays["logits"])
        resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))
        done = engine.ask("run", many, model="net", plan="local").result(PATIENCE_S)
        assert len(done.arrays["logits"]) == ROWS  # the control: it was only the memory
    finally:
        engine.close()
