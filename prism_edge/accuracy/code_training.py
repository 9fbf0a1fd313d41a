"""Codes that are trained with the weights (ASTRA, arXiv 2505.19342): k-means, then running means.

While a model is trained, what arrives is the vector of a code plus noise like what codes miss, so
that the model learns to bear it; a commitment loss keeps rows near their codes; and after each step
the codes have moved to where the rows are. Letters: B batch, n own tokens, S rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prism_edge.accuracy.plan_family import PlanFamily
from prism_edge.calibrate import Tell, travelling_rows
from prism_edge.errors import PlanError
from prism_edge.exchange import Exchange, exchange_of
from prism_edge.families.codebook_file import Fitted, codebook_path, write_codebooks
from prism_edge.families.model import Model, Tensors
from prism_edge.layout import Layout
from prism_edge.plan import Plan, Tap
from prism_edge.simulate import Rank, through
from prism_edge.tensors.codebook import Codebooks
from prism_edge.tensors.ema_codes import Chosen, EmaCodes, commitment, follow, noise_like, started
from prism_edge.tensors.kmeans import Tally, fit, quality

Size = tuple[int, int]  # groups, codes of each
Usage = dict[str, list[dict[str, float]]]  # of a size's name, block by block
Looks = dict[Size, list[Tally]]  # block by block


class Hearing(Rank):
    """A rank whose rows, if anybody hears them, are told to ``hears`` (block, rows [B,n,D], real
    [B,n] or None), which gives the rows that arrive."""

    hears: Callable[[int, Tensor, Tensor | None], Tensor]

    def arrived(self, exchange: Exchange, rows: Tensor, real: Tensor | None, index: int) -> Tensor:
        layout = self.layout  # the last rank of a causal model is heard by nobody
        heard = any(self.number in layout.hears(other) for other in range(layout.ranks))
        return self.hears(index, rows, real) if heard else rows


class Pass:
    """One pass under a plan with codes. ``met``: every block's messages. ``source``: of the noise,
    and of what is drawn when the codes follow."""

    def __init__(
        self, books: Codebooks, spread: Tensor | None, source: torch.Generator | None
    ) -> None:
        self.books = books
        self.met: list[list[Chosen]] = [[] for _ in range(books.blocks)]
        self.source, self._spread = source, spread

    def make(self, layout: Layout, number: int, x: Tensor, real: Tensor | None) -> Rank:
        rank = Hearing(layout, number, x, real)
        rank.hears = self.hears
        return rank

    def hears(self, block: int, rows: Tensor, real: Tensor | None) -> Tensor:
        """What arrives in place of rows, with noise where there is a ``spread`` [blocks,D]."""
        like, rows = rows, rows.to(self.books.tables.dtype)
        with torch.no_grad():
            codes = self.books.quantise(block, rows)
            found = self.books.reconstruct(block, codes)
            if self._spread is not None and self.source is not None:
                found = found + noise_like(self._spread[block], found, self.source)
        if real is None:
            chosen = Chosen(rows.flatten(0, 1), codes.flatten(0, 1))
        else:
            chosen = Chosen(rows[real > 0], codes[real > 0])
        self.met[block].append(chosen)
        return through(rows, found).to(like)


class CodeTraining:
    """The codes of every astra plan of a family. ``model`` uses them as they are now; ``usage``:
    what they made of the rows last looked at, be they those of the fit; ``judged``: of held samples
    alone."""

    def __init__(self, model: Model, family: PlanFamily, noise: float, beta: float) -> None:
        """Raises ``PlanError`` for codes that do not fit the model, or each other."""
        self._model, self._noise, self._beta = model, noise, beta
        self._taps = sizes(family, model)
        self.codes: dict[Size, EmaCodes] = {}
        self.usage: Usage = {}
        self.judged: Usage = {}
        self.samples = 0

    def begin(self, batches: Sequence[Tensors], samples: int, seed: int, tell: Tell) -> None:
        """Codes are those beside the model, else fitted by k-means to rows of prepared inputs."""
        taken: dict[Tap, list[Tensor]] = {}
        for size, tap in self._taps.items():
            if tap not in taken:
                taken[tap] = travelling_rows(
                    self._model, batches, tap=tap, samples=samples, seed=seed, tell=tell
                )
            rows = [part.clone() for part in taken[tap]]  # no tensors of inference mode
            if codebook_path(self._model.directory, *size).is_file():
                books = self._model.codebooks(*size)
            else:
                tables = []
                for block, part in enumerate(rows):
                    tell(f"codes of block {block + 1} of {len(rows)}", block / len(rows), 1)
                    tables.append(fit(part, *size, seed))
                books = Codebooks(tables=torch.stack(tables), tap=tap)
            self.samples = len(rows[0])
            self.codes[size] = started(books, rows)
            self.usage[name(size)] = [
                {**asdict(quality(table, part)), "revived": 0}
                for table, part in zip(books.tables, rows, strict=True)
            ]
            self._publish(size)

    def training(self, plan: Plan, source: np.random.Generator) -> Pass | None:
        """What the messages of a step go through; None when none are codes."""
        if plan.g is None or plan.k is None:
            return None
        size = (plan.g, plan.k)
        spread = self.codes[size].spread * self._noise**2 if self._noise else None
        drawn = torch.Generator().manual_seed(int(source.integers(2**63)))
        return Pass(self._model.codebooks(*size), spread, drawn)

    def judging(self, plan: Plan) -> Pass | None:
        """The same without noise: what boards would send."""
        if plan.g is None or plan.k is None:
            return None
        return Pass(self._model.codebooks(plan.g, plan.k), None, None)

    def loss(self, done: Pass) -> Tensor:
        """The commitment of a step's rows to their codes."""
        return self._beta * commitment(done.books, done.met)

    def follow(self, done: Pass) -> None:
        """The codes after a training step."""
        assert done.source is not None
        size = (done.books.g, done.books.k)
        for block, messages in enumerate(done.met):
            chosen = joined(messages)
            if len(chosen.rows):
                follow(self.codes[size], block, chosen, done.source)
        self._publish(size)

    def count(self, looks: Looks, done: Pass) -> None:
        """``looks`` has the rows of one more pass."""
        books = done.books
        fresh = [Tally.of(books.g, books.k) for _ in range(books.blocks)]
        tallies = looks.setdefault((books.g, books.k), fresh)
        for block, messages in enumerate(done.met):
            for each in messages:
                tallies[block].add(each.codes.t(), each.rows, books.reconstruct(block, each.codes))

    def looked(self, looks: Looks) -> None:
        """``judged`` is of these rows, for every size that any of them travelled with."""
        self.judged = {}
        for size, tallies in looks.items():
            if not all(tally.whole for tally in tallies):
                continue
            revived = self.codes[size].revived.tolist()
            qualities = [asdict(tally.quality()) for tally in tallies]
            found = [{**q, "revived": n} for q, n in zip(qualities, revived, strict=True)]
            self.judged[name(size)] = found
        self.usage = {**self.usage, **self.judged}  # what was read before stays

    def state(self) -> dict[str, Any]:
        """All that another process needs to go on."""
        codes = {name(size): ema.state() for size, ema in self.codes.items()}
        return {"codes": codes, "usage": self.usage, "samples": self.samples}

    def restore(self, state: Mapping[str, Any]) -> None:
        """These are the codes whose state it is."""
        self.usage, self.samples = state["usage"], state["samples"]
        for size in self._taps:
            if name(size) in state["codes"]:
                held = state["codes"][name(size)]
                self.codes[size] = EmaCodes(
                    **{k: t.to(self._model.device) for k, t in held.items()}
                )
                self._publish(size)

    def save(self, directory: Path, seed: int) -> None:
        """The codes belong to the model of ``directory``."""
        for size in self.codes:
            errors = tuple(block["relative_error"] for block in self.usage[name(size)])
            fitted = Fitted(samples=self.samples, seed=seed, relative_error=errors)
            write_codebooks(directory, self._model.codebooks(*size), fitted)

    def _publish(self, size: Size) -> None:
        """The model quantises by the codes as they are now."""
        self._model.keep_codebooks(Codebooks(tables=self.codes[size].tables, tap=self._taps[size]))


def name(size: Size) -> str:
    """A size in a report."""
    return f"g={size[0]},k={size[1]}"


def sizes(family: PlanFamily, model: Model) -> dict[Size, Tap]:
    """The sizes of codes in a family, and the rows that each are for.

    Raises ``PlanError`` where they do not fit the model or the codes beside it.
    """
    found: dict[Size, Tap] = {}
    for plan in family.plans:
        if plan.g is None or plan.k is None or plan.tap is None:
            continue
        width, size = model.shape.width, (plan.g, plan.k)
        if width % plan.g:
            raise PlanError(f"plan {plan}: g={plan.g} does not divide the model's width {width}")
        if found.setdefault(size, plan.tap) != plan.tap:
            raise PlanError(f"plan {plan}: codes of one g and k are for one tap, not for both")
        if codebook_path(model.directory, *size).is_file():
            exchange_of(plan, model.codebooks)
    return found


def joined(messages: Sequence[Chosen]) -> Chosen:
    """The rows of one block's messages, as values."""
    return Chosen(
        torch.cat([each.rows.detach() for each in messages]),
        torch.cat([each.codes for each in messages]),
    )
