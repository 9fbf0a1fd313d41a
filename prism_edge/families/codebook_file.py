"""Codebooks beside the model they were fitted to: one file per number of groups and codes.

``astra-g32-k1024.safetensors`` holds one tensor, ``tables`` [blocks,G,K,d] in fp32; its metadata
say, as one JSON object, which model it belongs to and how it was fitted.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from prism_edge.errors import ModelError
from prism_edge.families.checkpoint import fingerprint, read_config
from prism_edge.families.whole_file import write
from prism_edge.tensors.codebook import Codebooks

FORMAT = "prism-edge codebooks 1"
ABOUT = "about"  # one key, because safetensors writes several in any order
NAME = re.compile(r"astra-g(\d+)-k(\d+)\.safetensors")
# config.json's words for blocks and width, in every family
GEOMETRY = (("num_hidden_layers", "n_layer"), ("hidden_size", "n_embd"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """How codebooks came about: rows per block, seed, |x - x'| / |x| of each block's rows."""

    samples: int
    seed: int
    relative_error: tuple[float, ...]


def codebook_path(directory: Path, g: int, k: int) -> Path:
    """Where the codebooks of ``g`` groups and ``k`` codes are kept."""
    return directory / f"astra-g{g}-k{k}.safetensors"


def list_codebooks(directory: Path) -> list[tuple[int, int]]:
    """(G, K) of the codebook files of a model directory, sorted; they are not opened."""
    names = (NAME.fullmatch(path.name) for path in directory.glob("astra-*.safetensors"))
    return sorted((int(name[1]), int(name[2])) for name in names if name is not None)


def codebook_fingerprint(path: Path) -> str:
    """16 hex digits that change with any byte of the file: boards agree on codes by it."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()[:16]


def write_codebooks(directory: Path, codebooks: Codebooks, fitted: Fitted) -> Path:
    """The file that now holds ``codebooks``, for the model of ``directory``; whole or not at all.

    Raises ``ModelError`` when it cannot be written.
    """
    path = codebook_path(directory, codebooks.g, codebooks.k)
    about = {
        "format": FORMAT,
        "model": fingerprint(directory),
        "blocks": codebooks.blocks,
        "width": codebooks.width,
        "g": codebooks.g,
        "k": codebooks.k,
        "tap": codebooks.tap,
        "samples": fitted.samples,
        "seed": fitted.seed,
        "relative_error": [round(error, 6) for error in fitted.relative_error],
    }
    tables = codebooks.tables.float().cpu().contiguous()
    write(path, save({"tables": tables}, {ABOUT: json.dumps(about)}))
    return path


def read_codebooks(directory: Path, g: int, k: int) -> Codebooks:
    """The codebooks of ``g`` groups and ``k`` codes of a model directory, in fp32 on the CPU.

    Raises ``ModelError`` that names the file, what does not fit, and the command that makes one.
    """
    path = codebook_path(directory, g, k)
    again = f"`prism-edge codebook --model {directory} --g {g} --k {k} --data ...` makes one"
    if not path.is_file():
        known = ", ".join(f"g={g} k={k}" for g, k in list_codebooks(directory)) or "none"
        raise ModelError(f"{path}: no such file (codebooks there: {known}); {again}")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
            tables: Tensor = file.get_tensor("tables").float()
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); {again}") from error
    wrong = _misfit(about if isinstance(about, dict) else {}, tables, directory, g, k)
    if wrong is not None:
        raise ModelError(f"{path}: {wrong}; {again}")
    return Codebooks(tables=tables, tap=about["tap"])


def _misfit(about: dict[str, Any], tables: Tensor, directory: Path, g: int, k: int) -> str | None:
    """Why a file does not serve the model of ``directory``, in words; None when it does."""
    if about.get("format") != FORMAT:
        return f"holds {about.get('format', 'no codebooks')}, expected is {FORMAT!r}"
    blocks, width = (_setting(read_config(directory), names) for names in GEOMETRY)
    for key, needed in {"blocks": blocks, "width": width, "g": g, "k": k}.items():
        if about.get(key) != needed:
            return f"made for {key} = {about.get(key)}, needed is {key} = {needed}"
    model = fingerprint(directory)
    if about.get("model") != model:
        return f"fitted to model {about.get('model')}, the one beside it is {model}"
    if about.get("tap") not in ("after", "before"):
        return f"tap is {about.get('tap')!r}, allowed are after and before"
    if tables.shape != (blocks, g, k, width // g):
        return f"tables are {list(tables.shape)}, announced are {[blocks, g, k, width // g]}"
    if not bool(torch.isfinite(tables).all()):
        return "tables hold NaN or infinite values"
    return None


def _setting(config: dict[str, Any], names: tuple[str, ...]) -> int:
    return next((int(config[name]) for name in names if name in config), 0)
