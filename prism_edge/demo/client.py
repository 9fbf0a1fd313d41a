"""The demo's user: sends one phase's requests from the laptop's side, prints one JSON line each.

``python -m prism_edge.demo.client URL EXAMPLES`` reads the requests as JSON lines from stdin.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prism_edge.demo.phases import DIGITS
from prism_edge.errors import PrismError
from prism_edge.serve.oip_client import Daemon

Images = NDArray[np.uint8]
SIDE = 224


def photographs(count: int) -> Images:
    """Square cuts of scikit-learn's two photographs.  -> uint8 [count,3,224,224]"""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    random = np.random.default_rng(0)
    cuts = []
    for number in range(count):
        photo = photos[number % len(photos)]
        top, left = (int(random.integers(size - SIDE)) for size in photo.shape[:2])
        cuts.append(photo[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1))
    return np.stack(cuts)


def digits(examples: Path) -> tuple[Images, NDArray[np.int64]]:
    """The handwritten test digits and what they are.  -> uint8 [N,3,32,32], [N]"""
    sys.path.insert(0, str(examples / "digits"))
    from data import load_split  # type: ignore[import-not-found]

    _, _, images, labels = load_split()
    return images, labels


def answers(
    client: Daemon, asks: Iterable[dict[str, Any]], load: Callable[[str, int, int], Any]
) -> Iterator[dict[str, Any]]:
    """One result a request: latency, what ran and why, right answers where they are known."""
    for ask in asks:
        images, labels = load(ask["model"], ask["start"], ask["batch"])
        parameters = {} if ask["plan"] is None else {"plan": ask["plan"]}
        start_s, begin_s = time.time(), time.monotonic()
        try:
            answer = client.infer(ask["model"], {"pixel_values": images}, parameters)
        except PrismError as error:
            yield {**ask, "ok": False, "error": str(error), "start_s": start_s}
            continue
        predicted = answer.outputs["logits"].argmax(axis=1)
        yield {
            **ask,
            "ok": True,
            "start_s": start_s,
            "latency_s": time.monotonic() - begin_s,
            "ran": answer.parameters["plan"],
            "why": answer.parameters["why"],
            "right": None if labels is None else int((predicted == labels).sum()),
        }


def main() -> None:
    """Answer stdin line by line until it ends."""
    url, examples = sys.argv[1], Path(sys.argv[2])
    photos = photographs(16)
    test_images, test_labels = digits(examples)

    def load(model: str, start: int, batch: int) -> tuple[Images, Any]:
        if model == DIGITS:
            return test_images[start : start + batch], test_labels[start : start + batch]
        return photos[[(start + n) % len(photos) for n in range(batch)]], None

    with Daemon(url) as client:
        for result in answers(client, map(json.loads, sys.stdin), load):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
