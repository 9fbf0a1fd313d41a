"""``prism-edge finetune``: a model that answers well under plans, as an ordinary model directory.

While a run is under way its state lies beside the best weights so far; the same command goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.accuracy.data import Samples
    from prism_edge.accuracy.finetune import Recipe
    from prism_edge.accuracy.losses import Goal
    from prism_edge.families.model import Model

LOSSES = ("labels", "exact")


def finetune(
    model: Annotated[Path, typer.Option(help="Directory of a Hugging Face model.")],
    data: Annotated[Path, typer.Option(help="Samples to learn from, as evaluate takes them.")],
    plans: Annotated[
        str,
        typer.Option(
            help="Plans to serve, with ; between them; l=4..10 is every number, fp32|fp16 either."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the model that is made.")],
    loss: Annotated[
        str,
        typer.Option(
            help="labels, or exact: the exact model's own answers. Else labels if there are any."
        ),
    ] = "",
    steps: Annotated[int, typer.Option(min=1, help="At most.")] = 2000,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a step.")] = 16,
    rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 5e-5,
    lost: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of messages that do not arrive.")
    ] = 0.02,
    every: Annotated[
        int, typer.Option(min=1, help="Steps between looks at held samples, kept each time.")
    ] = 100,
    patience: Annotated[int, typer.Option(min=1, help="Looks without a better one.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    beta: Annotated[
        float, typer.Option(min=0, help="astra: weight of rows' distance from their codes.")
    ] = 5e-4,
    noise: Annotated[
        float, typer.Option(min=0, help="astra: noise on codes' vectors, in what codes miss.")
    ] = 0.3,
    bf16: Annotated[
        bool,
        typer.Option(
            "--bf16",
            help="Multiply matrices in bf16, if the processor can; weights and losses stay fp32.",
        ),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Samples at most.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a model through plans, one drawn at every step, so that it answers well under them.

    Without labels it learns to answer as the exact model does. Ctrl-C keeps the best weights so
    far; the same command goes on.

    Example: prism-edge finetune --model vit --data images/ --plans "prism:p=2,l=4..10" --out tuned
    """
    from prism_edge.accuracy.finetune import Recipe

    recipe = Recipe(
        steps=steps,
        batch=batch,
        rate=rate,
        lost=lost,
        every=every,
        patience=patience,
        seed=seed,
        beta=beta,
        noise=noise,
        bf16=bf16,
    )
    train(model, data, plans, out, recipe, loss=loss, limit=limit, device=device, as_json=as_json)


def train(
    model: Path,
    data: Path,
    plans: str,
    out: Path,
    recipe: Recipe,
    *,
    loss: str,
    limit: int | None,
    device: str,
    as_json: bool,
) -> None:
    """``out`` holds the model trained for ``plans``; what is unfinished there goes on."""
    from prism_edge.accuracy.data import read_samples
    from prism_edge.accuracy.finetune import Finetune
    from prism_edge.accuracy.plan_family import PlanFamily
    from prism_edge.accuracy.pools import checksum, pooled, split
    from prism_edge.accuracy.trainable import Trainable
    from prism_edge.accuracy.unfinished import about_run, close_run, keep, open_run
    from prism_edge.families.checkpoint import fingerprint
    from prism_edge.profile.progress import progress_on

    family = PlanFamily.parse(plans)
    if loss not in ("", *LOSSES):
        raise SettingsError(f"--loss {loss!r}: allowed are {' and '.join(LOSSES)}")
    trained = Trainable(model, device)
    samples = read_samples(
        data, trained.exact, batch=recipe.batch, limit=limit, labelled=loss != "exact"
    )
    recipe = replace(recipe, goal=_goal(loss, trained.exact, samples))
    pools = pooled(samples)
    parts = split(pools, recipe.seed)
    run = Finetune(trained.model, trained.leaves, trained.exact, family, *parts, recipe)
    asked = _asked(plans, recipe, f"{samples.name} {checksum(pools)}", fingerprint(model))
    open_run(out, run, trained, asked)
    progress = progress_on()
    try:
        with interrupted() as stop:
            over = run.run(
                progress.advance,
                lambda better: keep(out, run, trained, asked, better=better),
                stop,
            )
    finally:
        progress.close()
    about = close_run(out) if over else about_run(out)
    print(json.dumps(about) if as_json else readable(model, out, about))
    if not over:
        print(f"interrupted at step {run.step}; the same command goes on", file=sys.stderr)
        raise typer.Exit(130)


def _goal(loss: str, model: Model, samples: Samples) -> Goal:
    classes = any(spec.name == "logits" and len(spec.shape) == 2 for spec in model.outputs)
    if loss == "labels" or (not loss and classes and samples.labels is not None):
        return "labels"
    return "exact"


def _asked(plans: str, recipe: Recipe, data: str, base: str) -> dict[str, Any]:
    """What a run must have in common with the one that it goes on."""
    return {"plans": plans, "base_model": base, "data": data, **asdict(recipe)}


@contextmanager
def interrupted() -> Iterator[Any]:
    """What is given tells whether somebody has asked to stop; who asks twice stops it at once."""
    asked: list[int] = []

    def hear(number: int, frame: object) -> None:
        asked.append(number)
        os.write(2, b"\nends after this step and keeps what there is; once more ends it at once\n")
        signal.signal(number, signal.default_int_handler)

    before = {
        number: signal.signal(number, hear)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def readable(model: Path, out: Path, about: dict[str, Any]) -> str:
    """What was made of ``model``, for people."""
    worth = f"prism-edge evaluate --model {out} --reference {model} --data ... --plans ..."
    if about["best_step"] == 0:
        lines = [
            f"{out}: the weights are those of the start, no later ones were better on held samples "
            f"(loss {about['held_loss_before']:.4f}, {about['steps_done']} steps)"
        ]
    else:
        lines = [
            f"{out}: step {about['best_step']} of {about['steps_done']} was best; loss of held "
            f"samples {about['held_loss_before']:.4f} -> {about['held_loss']:.4f}"
        ]
    for size, blocks in about.get("codes", {}).items():
        lines += usage(size, about["codes_before"][size], blocks)
    return "\n".join([*lines, f"what it is worth, on other data: {worth}"])


def usage(size: str, before: list[dict[str, float]], after: list[dict[str, float]]) -> list[str]:
    """What codes of one size made of the held samples' rows, a line per block."""
    lines = [f"codes {size}, block by block: error, codes used and perplexity before -> after"]
    for block, (old, new) in enumerate(zip(before, after, strict=True)):
        lines.append(
            f"{block:>5}  {100 * old['relative_error']:5.1f} % -> "
            f"{100 * new['relative_error']:5.1f} %  "
            f"{100 * old['used']:5.1f} % -> {100 * new['used']:5.1f} %  "
            f"{old['perplexity']:7.1f} -> {new['perplexity']:7.1f}  {new['revived']:>5} revived"
        )
    return lines
