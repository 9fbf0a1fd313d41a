"""The process that answers with Hugging Face's own forward: what a user had before.

``python -m prism_edge.bench.hugging_face DIR`` speaks the engine's messages on stdin and stdout:
``run`` (arrays: the forward's arguments) and ``memory``. Attention is sdpa, everything is fp32,
threads are the cores it may use. It ends when its driver does.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from prism_edge.engine.kernel import attention_kernel
from prism_edge.engine.memory import memory_of
from prism_edge.engine.messages import Message, read_message, write_message
from prism_edge.families.checkpoint import read_config


def load(directory: Path) -> torch.nn.Module:
    """The model as transformers builds it from its checkpoint, in fp32."""
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    architecture = (read_config(directory).get("architectures") or ["AutoModel"])[0]
    loader = getattr(transformers, architecture)
    model: torch.nn.Module = loader.from_pretrained(
        directory, attn_implementation="sdpa", local_files_only=True
    )
    # a cache of keys and values is for generation: without it a forward does less
    model.config.use_cache = False  # type: ignore[union-attr]
    return model.float().eval()


class HuggingFace:
    """One model and the orders about it."""

    def __init__(self, directory: Path) -> None:
        self._model = load(directory)
        # as its own generate does: a cache to go on with, and scores for the last word alone, which
        # older releases cannot leave out
        self._prefill: dict[str, Any] = {"use_cache": True}
        if "logits_to_keep" in inspect.signature(self._model.forward).parameters:
            self._prefill["logits_to_keep"] = 1

    @torch.inference_mode()
    def answer(self, order: Message) -> Message:
        """The answer to an order; ``seconds`` is the forward's time and nothing else's."""
        number = order.fields["id"]
        if order.kind == "memory":
            found = memory_of((), reset=order.fields["reset"])
            return Message("memory", {"id": number, **found})
        inputs = {key: torch.from_numpy(array) for key, array in order.arrays.items()}
        if order.kind == "kernel":
            kernel = attention_kernel(lambda: self._model(**inputs))
            return Message("kernel", {"id": number, "attention_kernel": kernel})
        fields: dict[str, Any] = {"id": number}
        start_s = time.monotonic()
        if order.fields["prefill"]:
            logits = self._model(**inputs, **self._prefill).logits
            fields["tokens"] = logits[:, -1:].argmax(dim=-1).tolist()
            return Message("result", {**fields, "seconds": time.monotonic() - start_s})
        outputs = self._model(**inputs)
        fields["seconds"] = time.monotonic() - start_s
        arrays = {key: value.numpy() for key, value in outputs.items() if torch.is_tensor(value)}
        return Message("result", fields, arrays if order.fields["outputs"] else {})


def main() -> None:
    """Run until stdin ends or ``stop`` is ordered; a start that fails is reported as ``failed``."""
    import transformers

    # as the engine does: the kernel ends it with its driver, signals are the driver's to handle
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    orders, output = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up between messages
    try:
        model = HuggingFace(Path(sys.argv[1]))
    except Exception as error:  # transformers raises many kinds for a broken checkpoint
        write_message(output, Message("failed", {"message": str(error)}))
        sys.exit(1)
    write_message(output, Message("ready", {"transformers": transformers.__version__}))
    while (order := read_message(orders)) is not None and order.kind != "stop":
        try:
            answer = model.answer(order)
        except Exception as error:  # the driver must get an answer to every order
            fields = {"id": order.fields["id"], "error": type(error).__name__}
            answer = Message("error", {**fields, "message": str(error)})
        write_message(output, answer)


if __name__ == "__main__":
    main()
