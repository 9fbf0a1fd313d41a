"""Outputs for people and as JSON values: the likeliest classes where there are classes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[Any]]

TOP = 5  # classes shown per answer
SHOWN = 8  # answers of a batch shown, and numbers of an output


def summary(outputs: Arrays) -> dict[str, object]:
    """Outputs as JSON values: their shape, and the top class of every answer of a classifier."""
    described: dict[str, object] = {}
    for name, array in outputs.items():
        item: dict[str, object] = {"shape": list(array.shape)}
        if is_classes(name, array):
            item["top"] = [int(row.argmax()) for row in array]
        described[name] = item
    return described


def readable(outputs: Arrays) -> list[str]:
    """Outputs as lines: a classifier's likeliest classes, else shape and first numbers."""
    lines = []
    for name, array in outputs.items():
        if not is_classes(name, array):
            first = " ".join(f"{value:.4g}" for value in array.ravel()[:SHOWN])
            lines.append(f"{name} {list(array.shape)}: {first} ...")
            continue
        for index, row in enumerate(array[:SHOWN]):
            best = sorted(range(len(row)), key=lambda k: -row[k])[:TOP]
            shares = softmax(row)
            ranking = "  ".join(f"class {k} {100 * shares[k]:.1f} %" for k in best)
            lines.append(f"answer {index}: {ranking}")
        if len(array) > SHOWN:
            lines.append(f"... and {len(array) - SHOWN} more answers")
    return lines


def is_classes(name: str, array: npt.NDArray[Any]) -> bool:
    """True for one score per class and answer."""
    return name == "logits" and array.ndim == 2


def softmax(row: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scores as shares of one."""
    import numpy as np

    powers = np.exp(row.astype(np.float64) - row.max())
    return powers / powers.sum()  # type: ignore[no-any-return]
