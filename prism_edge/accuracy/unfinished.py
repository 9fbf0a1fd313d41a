"""A training run on disk: the best weights so far, what they are, and the state it goes on from.

Every file is replaced at once or not at all, weights before the state. So whenever a run is cut
off, the state beside it is one that it once had, and from there it makes the same again.
"""

from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch

from prism_edge.accuracy.finetune import Finetune
from prism_edge.accuracy.trainable import Trainable
from prism_edge.errors import ModelError, SettingsError
from prism_edge.families.codebook_file import read_codebooks
from prism_edge.families.whole_file import write

STATE, ABOUT = "finetune.state", "finetuned.json"
COPIES = 2 * (1 + 3)  # of what is trained: weights and state (with two moments), each twice


def open_run(out: Path, run: Finetune, trained: Trainable, asked: dict[str, Any]) -> None:
    """``out`` holds the state of this very run, which begins there or goes on from it.

    ``asked``: what a run has in common with the one that it goes on. Raises ``SettingsError`` when
    ``out`` holds something else, ``ModelError`` when its state is damaged or the disk too small.
    """
    state = out / STATE
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{STATE}.partial").unlink(missing_ok=True)  # was cut off as it began to write
        empty = not any(out.iterdir())
    except OSError as error:
        raise SettingsError(f"--out {out}: cannot be made ({error.strerror})") from error
    if not state.is_file():
        if not empty:
            raise SettingsError(f"--out {out}: holds files already; name a new directory")
        _check_room(out, trained)
        _write_state(state, run, asked)
        return
    try:
        found = torch.load(state, map_location="cpu", weights_only=True)
        before = dict(found["asked"])
    except Exception as error:  # torch raises many kinds for a broken file
        raise ModelError(
            f"{state}: is damaged, so the run cannot go on; weights beside it are its best so far; "
            f"to begin anew name another --out"
        ) from error
    differ = [
        f"{key} {before.get(key)!r}, now {asked[key]!r}"
        for key in sorted(asked)
        if before.get(key) != asked[key]
    ]
    if differ:
        raise SettingsError(
            f"--out {out}: another run is unfinished there ({'; '.join(differ)}); give its command "
            f"to go on, or another --out"
        )
    run.restore(found)
    if run.best_step == run.step and not math.isinf(run.best) and not _of_one_look(out, run):
        _save_best(out, run, trained, asked)


def keep(
    out: Path, run: Finetune, trained: Trainable, asked: dict[str, Any], *, better: bool
) -> None:
    """What the run has reached is on disk, its weights too where they are the best so far."""
    if better:
        _save_best(out, run, trained, asked)
    about = {
        **asked,
        "steps_done": run.step,
        "best_step": run.best_step,
        "held_loss_before": run.before,
        "held_loss": run.best,
    }
    if run.usage:
        about |= {"codes_before": run.usage_before, "codes": run.usage}
    write(out / ABOUT, (json.dumps(about, indent=1) + "\n").encode())
    _write_state(out / STATE, run, asked)


def close_run(out: Path) -> dict[str, Any]:
    """What was made; nothing of the run is left beside it."""
    for left in (out / STATE, *out.glob("*.partial*")):
        left.unlink(missing_ok=True)
    return about_run(out)


def about_run(out: Path) -> dict[str, Any]:
    """What ``out`` says of the weights there."""
    found: dict[str, Any] = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    return found


def _save_best(out: Path, run: Finetune, trained: Trainable, asked: dict[str, Any]) -> None:
    trained.save(out)
    run.codes.save(out, asked["seed"])


def _of_one_look(out: Path, run: Finetune) -> bool:
    """False where a kill came between weights and codes, which were both better ones."""
    try:
        for size in run.codes.codes:
            read_codebooks(out, *size)
    except ModelError:
        return False
    return True


def _check_room(out: Path, trained: Trainable) -> None:
    """Before hours of work, not after."""
    leaves = sum(leaf.nbytes for leaf in trained.leaves.values())
    needed, free = COPIES * leaves, shutil.disk_usage(out).free
    if free < needed:
        raise ModelError(
            f"--out {out}: {free / 1e6:.3g} MB are free, this run needs about {needed / 1e6:.3g} "
            f"MB; make room, or name an --out on another disk"
        )


def _write_state(path: Path, run: Finetune, asked: dict[str, Any]) -> None:
    held = io.BytesIO()
    torch.save({"asked": asked, **run.state()}, held)
    write(path, held.getvalue())
