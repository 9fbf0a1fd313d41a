"""``prism-edge codebook``: the codes of a model's rows, fitted to data, kept beside the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_edge.errors import InputError, SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt

    from prism_edge.calibrate import Calibrated
    from prism_edge.families.model import Model

    Arrays = dict[str, npt.NDArray[Any]]

BATCH = 16  # inputs run at once
TAPS = ("after", "before")


def codebook(
    model: Annotated[Path, typer.Option(help="directory of a Hugging Face model")],
    g: Annotated[int, typer.Option("--g", help="groups the width is cut into", min=1)],
    data: Annotated[
        Path, typer.Option(help=".npz whose keys are the model's arguments, or a folder of images")
    ],
    k: Annotated[int, typer.Option("--k", help="codes of a group", min=2, max=1 << 16)] = 1024,
    tap: Annotated[str, typer.Option(help="rows after or before a block's first norm")] = "after",
    samples: Annotated[int, typer.Option(help="rows per block, at most", min=10)] = 20_000,
    seed: Annotated[int, typer.Option(help="of the rows drawn and of the start", min=0)] = 0,
    force: Annotated[bool, typer.Option("--force", help="replace the file there is")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Fit the codes that astra plans send, to the rows that would travel, by k-means.

    Example: prism-edge codebook --model models/vit --g 32 --data images/
    """
    from prism_edge.calibrate import calibrate
    from prism_edge.families import load
    from prism_edge.families.codebook_file import (
        Fitted,
        codebook_fingerprint,
        codebook_path,
        write_codebooks,
    )
    from prism_edge.profile.progress import progress_on

    if tap not in TAPS:
        raise SettingsError(f"--tap {tap!r}: allowed are {' and '.join(TAPS)}")
    path = codebook_path(model, g, k)
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already; --force replaces it")
    loaded = load(model)
    width = loaded.shape.width
    if width % g:
        fits = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
        raise SettingsError(f"--g {g}: does not divide the model's width {width}; allowed: {fits}")
    batches = prepare(loaded, read_data(data, loaded))
    progress = progress_on()
    try:
        found = calibrate(
            loaded,
            batches,
            g=g,
            k=k,
            tap="before" if tap == "before" else "after",
            samples=samples,
            seed=seed,
            tell=progress.advance,
        )
    finally:
        progress.close()
    errors = tuple(block.relative_error for block in found.unseen)
    write_codebooks(
        model,
        found.codebooks,
        Fitted(samples=found.samples, seed=seed, relative_error=errors),
    )
    about = summary(found, path, codebook_fingerprint(path), seed)
    print(json.dumps(about) if as_json else readable(about))


def read_data(data: Path, model: Model) -> Arrays:
    """The inputs in an .npz, or the images in a folder and below it, in order of their paths."""
    import numpy as np
    from PIL import Image

    from prism_edge.cli.inputs import read_image, read_npz
    from prism_edge.serve.service import TensorInfo

    if not data.is_dir():
        return read_npz(data)
    known = set(Image.registered_extensions())
    paths = sorted(path for path in data.rglob("*") if path.suffix.lower() in known)
    if not paths:
        raise InputError(f"{data}: holds no images")
    takes = [
        TensorInfo(name=spec.name, datatype=spec.datatype, shape=spec.shape)
        for spec in model.inputs
    ]
    images = [read_image(path, takes) for path in paths]
    return {name: np.concatenate([image[name] for image in images]) for name in images[0]}


def prepare(model: Model, arrays: Arrays) -> list[dict[str, Any]]:
    """Inputs as the model wants them, a few at a time."""
    import torch

    whole = model.prepare({name: torch.from_numpy(array) for name, array in arrays.items()})
    count = next(iter(whole.values())).shape[0]
    return [
        {name: tensor[start : start + BATCH] for name, tensor in whole.items()}
        for start in range(0, count, BATCH)
    ]


def summary(found: Calibrated, path: Path, fingerprint: str, seed: int) -> dict[str, Any]:
    """What was made, as JSON values; one item per block."""
    books = found.codebooks
    return {
        "file": str(path),
        "fingerprint": fingerprint,
        "g": books.g,
        "k": books.k,
        "tap": books.tap,
        "bytes_per_token": books.g * books.bits / 8,
        "samples": found.samples,
        "seed": seed,
        "blocks": [
            {
                "relative_error": unseen.relative_error,
                "relative_error_fitted": fitted.relative_error,
                "codes_used": fitted.used,
                "perplexity": fitted.perplexity,
            }
            for fitted, unseen in zip(found.fitted, found.unseen, strict=True)
        ],
    }


def readable(about: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"{about['file']} ({about['fingerprint']})",
        f"{about['bytes_per_token']:g} bytes per token and block; fitted to "
        f"{about['samples']} rows of each block, seed {about['seed']}",
        "block    error  on fitted rows  codes used  perplexity",
    ]
    lines += [
        f"{index:>5}  {100 * block['relative_error']:>5.1f} %  "
        f"{100 * block['relative_error_fitted']:>12.1f} %  {100 * block['codes_used']:>8.1f} %  "
        f"{block['perplexity']:>10.1f}"
        for index, block in enumerate(about["blocks"])
    ]
    lines.append("error: |x - x'| / |x| over rows the codes were not fitted to")
    return "\n".join(lines)
