"""Files here as ``Local``: what there is to send, by relative path, with the digest of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prism_edge import tables
from prism_edge.deploy.step import Local
from prism_edge.errors import ModelError
from prism_edge.tables.log import LOG
from prism_edge.tables.rows import HEADER, TABLES

_CHUNK_BYTES = 1 << 20
# weights of other frameworks, which no engine reads
_FOREIGN = (".h5", ".msgpack", ".ot", ".onnx", ".tflite", ".gguf", ".pt", ".pth")


def local(path: Path) -> Local:
    """The file as it is now."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
            size += len(chunk)
    return Local(path=path, sha256=found.hexdigest(), bytes=size)


def model_files(directory: Path) -> dict[str, Local]:
    """What engines and tokenizers read of a Hugging Face directory. Raises ``ModelError``.

    Left out are hidden files, weights of other frameworks, and PyTorch's own format where there is
    safetensors, as the engine reads that first.
    """
    try:
        found = {path.relative_to(directory).as_posix(): path for path in _walk(directory)}
        if "config.json" not in found:
            raise ModelError(
                f"{directory} holds no config.json; is it a Hugging Face model directory?"
            )
        safe = any(name.startswith("model") and name.endswith(".safetensors") for name in found)
        return {
            name: local(path)
            for name, path in sorted(found.items())
            if not name.endswith(_FOREIGN)
            and not (safe and name.startswith("pytorch_model") and ".bin" in name)
        }
    except OSError as error:
        raise ModelError(
            f"{error.filename or directory} cannot be read: {error.strerror}"
        ) from error


def table_files(directory: Path) -> dict[str, Local]:
    """The files of the profile in ``directory``, all of it checked; empty: there is none.

    Raises ``TableError`` for a damaged one.
    """
    names = (HEADER, *(f"{table}.csv" for table in TABLES), LOG)
    found = {name: directory / name for name in names if (directory / name).is_file()}
    if not found:
        return {}
    tables.read(directory)
    return {name: local(path) for name, path in found.items()}


def digest_of(files: Mapping[str, Local]) -> str:
    """64 hexadecimal digits that change with the name and the content of any file."""
    return digest(f"{name} {file.sha256}" for name, file in sorted(files.items()))


def digest(lines: Iterable[str]) -> str:
    """64 hexadecimal digits over lines of text, in this order."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _walk(directory: Path) -> Iterator[Path]:
    """Files below ``directory``, links followed: a Hugging Face cache is made of them."""
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)
