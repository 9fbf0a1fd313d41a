"""Checkpoints of well-known sizes with random weights: for speed only, their answers mean nothing.

Speed does not depend on what the weights are, so nothing has to be downloaded to measure it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from prism_edge.errors import ModelError

SEED = 0
NOTE = "random weights: for speed only, the answers mean nothing"
LAST = "preprocessor_config.json"  # written last: where it is, the other files are complete
PREPROCESSING = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A model to make; ``tokens``: the usual length of its texts, None where it takes images."""

    make: Callable[[], Any]
    tokens: int | None = None


def _vit_b16() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(num_labels=1000))  # type: ignore[call-arg]


def _vit_s16() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        num_labels=1000,  # type: ignore[call-arg]
        hidden_size=384,
        num_attention_heads=6,
        intermediate_size=1536,
    )
    return ViTForImageClassification(config)


def _bert_base() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig())


def _gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config())


SIZES: Mapping[str, Size] = {
    "vit-b16": Size(make=_vit_b16),
    "vit-s16": Size(make=_vit_s16),
    "bert-base": Size(make=_bert_base, tokens=256),
    "gpt2": Size(make=_gpt2, tokens=512),
}


def default_cache() -> Path:
    """Where made checkpoints are kept: below $XDG_CACHE_HOME, or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "prism-edge" / "random-weights"


def write(name: str, directory: Path) -> None:
    """``directory`` holds the complete checkpoint, the same weights every time. Slow: seconds."""
    import torch
    import transformers

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(SEED)
    model = SIZES[name].make()
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory)
    if SIZES[name].tokens is None:
        (directory / LAST).write_text(json.dumps(PREPROCESSING, indent=2) + "\n")


def cached(name: str, root: Path) -> Path:
    """The directory of that checkpoint below ``root``, made if it is not there.

    Raises ``ModelError`` when it cannot be written.
    """
    directory = root / name
    if directory.is_dir():
        return directory
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix=f".{name}-", dir=root))
        try:
            write(name, work)
            work.chmod(0o755)
            work.rename(directory)  # there at once and complete, also when two runs make it
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            if not directory.is_dir():
                raise
    except OSError as error:
        raise ModelError(f"{directory}: cannot write the checkpoint: {error}") from error
    return directory
