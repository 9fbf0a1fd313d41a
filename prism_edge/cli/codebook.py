"""``prism-edge codebook``: the codes of a model's rows, fitted to data, kept beside the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.calibrate import Calibrated

BATCH = 16  # inputs run at once
TAPS = ("after", "before")


def codebook(
    model: Annotated[Path, typer.Option(help="directory of a Hugging Face model")],
    g: Annotated[int, typer.Option("--g", help="groups the width is cut into", min=1)],
    data: Annotated[Path, typer.Option(help="inputs like those to come, as evaluate takes them")],
    k: Annotated[int, typer.Option("--k", help="codes of a group", min=2, max=1 << 16)] = 1024,
    tap: Annotated[str, typer.Option(help="rows after or before a block's first norm")] = "after",
    samples: Annotated[int, typer.Option(help="rows per block, at most", min=10)] = 20_000,
    seed: Annotated[int, typer.Option(help="of the rows drawn and of the start", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="inputs at most")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file there is")] = False,
    steps: Annotated[
        int, typer.Option(min=0, help="train codes and weights together, in so many steps at most")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="with --steps: directory of the model that is made")
    ] = None,
    loss: Annotated[str, typer.Option(help="with --steps: labels or exact, as in finetune")] = "",
    rate: Annotated[float, typer.Option(min=0, help="with --steps: peak learning rate")] = 5e-5,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Fit the codes that astra plans send, to the rows that would travel, by k-means.

    With --steps this is the start, and the model learns to be served by its codes while they follow
    it: finetune for 2 to 4 ranks, which goes on where it was stopped.

    Example: prism-edge codebook --model models/vit --g 32 --data images/
    """
    from prism_edge.accuracy.data import read_samples
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
    if bool(steps) != (out is not None):
        raise SettingsError("--steps and --out go together: training makes a model of its own")
    if steps and force:
        raise SettingsError("--force replaces a file beside --model; --steps leaves that as it is")
    if out is not None:
        from prism_edge.accuracy.finetune import Recipe
        from prism_edge.cli.finetune import train

        recipe = Recipe(steps=steps, rate=rate, seed=seed, rows=samples)
        plans = f"astra:p=2..4,g={g},k={k},tap={tap}"
        train(
            model, data, plans, out, recipe, loss=loss, limit=limit, device="cpu", as_json=as_json
        )
        return
    path = codebook_path(model, g, k)
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already; --force replaces it")
    loaded = load(model)
    width = loaded.shape.width
    if width % g:
        fits = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
        raise SettingsError(f"--g {g}: does not divide the model's width {width}; allowed: {fits}")
    inputs = read_samples(data, loaded, batch=BATCH, limit=limit, labelled=False).inputs
    batches = [loaded.prepare(each) for each in inputs]
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
