"""What a user wants answered: files, directories of them, or lines from stdin, as items.

A line of stdin is a path, or a JSON object with one of ``file``, ``text`` and ``inputs`` (values
by input name), and perhaps ``id`` and ``plan``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prism_edge.client.feed import Item
from prism_edge.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from prism_edge.serve.oip_client import Daemon, Reply
    from prism_edge.serve.service import TensorInfo

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model that answers, and what it takes."""

    daemon: Daemon
    name: str
    takes: Sequence[TensorInfo]
    tokenizer: Path | None
    plan: str | None

    def files(self, paths: Iterable[Path]) -> list[Item]:
        """Files as they are named; of a directory all images and .npz in it, in order."""
        found = [file for path in paths for file in _inside(path)]
        return [self._item(str(file), {"file": str(file)}) for file in found]

    def lines(self, stream: Iterable[str]) -> Iterator[Item]:
        """An item per line that is not empty, as lines come."""
        for number, text in enumerate(stream, 1):
            if not (line := text.strip()):
                continue
            if not line.startswith("{"):
                yield self._item(line, {"file": line})
                continue
            try:
                wanted = json.loads(line)
            except ValueError as error:
                wanted = {"wrong": f"line {number}: not JSON ({error})"}
            name = str(wanted.get("id", wanted.get("file", f"line {number}")))
            yield self._item(name, wanted)

    def _item(self, name: str, wanted: dict[str, Any]) -> Item:
        return Item(name=name, ask=partial(self._ask, wanted))

    def _ask(self, wanted: dict[str, Any]) -> Reply:
        plan = wanted.get("plan", self.plan)
        parameters = {} if plan is None else {"plan": str(plan)}
        return self.daemon.infer(self.name, self._inputs(wanted), parameters)

    def _inputs(self, wanted: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
        from prism_edge.cli.inputs import read_image, read_npz, read_text

        if "wrong" in wanted:
            raise InputError(str(wanted["wrong"]))
        if sum(key in wanted for key in ("file", "text", "inputs")) != 1:
            raise InputError("a line is a path, or an object with one of file, text and inputs")
        if "file" in wanted:
            path = Path(str(wanted["file"]))
            return read_npz(path) if path.suffix == ".npz" else read_image(path, self.takes)
        if "text" in wanted:
            return read_text(str(wanted["text"]), self.tokenizer, self.takes)
        return _arrays(wanted["inputs"], self.takes)


def _inside(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    kinds = IMAGES | {".npz"}
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in kinds)
    if not found:
        raise InputError(f"{path}: holds no images and no .npz")
    return found


def _arrays(values: object, takes: Sequence[TensorInfo]) -> dict[str, npt.NDArray[Any]]:
    """Values by input name as tensors of the model's own types."""
    import numpy as np

    from prism_edge.serve.datatypes import DATATYPES

    if not isinstance(values, dict):
        raise InputError("inputs: an object with the values of every input is expected")
    types = {info.name: info.datatype for info in takes}
    found = {}
    for name, value in values.items():
        if types.get(name, "BYTES") == "BYTES":
            raise InputError(f"inputs: {name} is none of {', '.join(types)} with numbers")
        try:
            found[name] = np.asarray(value, dtype=DATATYPES[types[name]])
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"inputs: {name}: {error}") from error
    return found
