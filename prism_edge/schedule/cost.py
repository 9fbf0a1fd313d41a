"""What plans would take on some boards, from their tables. ``docs/policy.md`` derives the terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np

from prism_edge.errors import TableError
from prism_edge.layout import ModelShape, even
from prism_edge.plan import Plan
from prism_edge.schedule.accuracy import worst_drops
from prism_edge.schedule.cells import Cells
from prism_edge.schedule.fit import GUESSED, Bands, Truth, fit_bands, fit_overheads
from prism_edge.schedule.link import Links, LinkState, fit_links
from prism_edge.schedule.panel import TERMS, Floats, Overheads, Panel
from prism_edge.schedule.staging import Staging
from prism_edge.schedule.work import Work, work_of
from prism_edge.tables import BoardInfo, Profile

MOVED = 0.12  # error of what travels at another rate than the profile's, as a share of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpredictable:
    """A plan about which the tables say nothing, or that may not be used, and why."""

    plan: Plan
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Seconds of one batch under ``plan``; ``terms`` add up to ``latency_s``.

    ``low_s`` to ``high_s``: nine of ten requests, by how far off the model was on whole requests.
    ``energy_j``: all boards, idle ones too; None when power was not measured. ``extrapolated``:
    some of it lies outside the tables. ``work``: the bytes behind the terms.
    """

    plan: Plan
    latency_s: float
    low_s: float
    high_s: float
    terms: Mapping[str, float]
    energy_j: float | None
    extrapolated: bool
    work: Work


@dataclass(frozen=True, kw_only=True, eq=False)
class Costs:
    """One model's tables on boards in the order of their ranks. Made by ``costs_of``.

    ``busy_w``: each board's mean power while it computes, None when not measured. ``drops``: by
    plan text, the most accuracy it loses. ``imagined``: boards or a model that were never measured.
    """

    model: str
    shape: ModelShape
    boards: tuple[BoardInfo, ...]
    cells: tuple[Cells, ...]
    busy_w: tuple[float | None, ...]
    links: Links | None
    stagings: tuple[Staging, ...]
    overheads: Overheads = field(default_factory=Overheads)
    bands: Bands = field(default_factory=Bands)
    drops: Mapping[str, float] = field(default_factory=dict)
    imagined: bool = False

    @property
    def link(self) -> LinkState | None:
        """The link as it was when it was measured; None when it was not."""
        return None if self.links is None else self.links.state

    def ranked(self, boards: Sequence[str]) -> Costs:
        """The same tables with these boards as ranks. Raises ``TableError`` for an unknown one."""
        order = [board.name for board in self.boards]
        for name in boards:
            if name not in order:
                raise TableError(f"board {name!r} was not profiled (profiled: {', '.join(order)})")
        return self._with([order.index(name) for name in boards])

    def with_boards(self, count: int) -> Costs:
        """The same tables as if there were that many boards: further ones are like the last."""
        last = len(self.boards) - 1
        more = self._with([min(rank, last) for rank in range(count)])
        return more if count <= last + 1 else replace(more, imagined=True)

    def for_shape(self, model: str, shape: ModelShape) -> Costs:
        """The same boards for a model that was not measured: times are scaled by operations."""
        cells = tuple(cells.of(shape) for cells in self.cells)
        return replace(self, model=model, shape=shape, cells=cells, drops={}, imagined=True)

    def segments(self, tokens: int) -> tuple[int, ...]:
        """The l of every prism plan that was measured at this length, by its leader's cell."""
        found = set()
        for p in range(2, min(len(self.cells), tokens) + 1):
            parts = even(tokens, p)
            for own, known in self.cells[0].measured:
                l, rest = divmod(known - own, p - 1)  # noqa: E741  # the leader hears all others
                # as many segments as the smallest part has tokens would be full exchange
                if own == parts[0] and rest == 0 and 0 < l < parts[-1]:
                    found.add(l)
        return tuple(sorted(found))

    def work(self, plan: Plan, batch: int, tokens: int) -> Work | str:
        """The link-independent part of a prediction, or why there is none."""
        half_duplex = self.links is not None and self.links.half_duplex
        work = work_of(
            plan,
            self.shape,
            batch,
            tokens,
            self.cells,
            half_duplex,
            stagings=self.stagings,
            guess=self.imagined,
        )
        if isinstance(work, str):
            return work
        if plan.p > 1 and self.links is None:
            return "not profiled: the link"
        real = len({board.name for board in self.boards})  # copies have the name of their original
        return replace(work, extrapolated=True) if plan.p > real else work

    def panel(self, works: Sequence[Work]) -> Panel:
        """Works side by side, ready for any link."""
        return Panel(
            works,
            blocks=self.shape.blocks,
            causal=self.shape.causal,
            overheads=self.overheads,
            burst_bytes=0.0 if self.links is None else self.links.exchange.burst_bytes,
            oneway_alpha_s=0.0 if self.links is None else self.links.oneway.alpha_s,
            oneway_burst_bytes=0.0 if self.links is None else self.links.oneway.burst_bytes,
        )

    def prediction(
        self, plan: Plan, work: Work, link: LinkState | None, terms: Floats, energy_j: float | None
    ) -> Prediction:
        """One plan's column of a panel, with what is known about its error."""
        latency_s = float(terms.sum())
        bands = np.array([self.bands.of(plan.method)])
        error = float(self.errors(bands, link, terms[:, None])[0])
        if work.extrapolated:
            error += GUESSED
        return Prediction(
            plan=plan,
            latency_s=latency_s,
            low_s=latency_s / (1 + error),
            high_s=latency_s * (1 + error),
            terms=dict(zip(TERMS, map(float, terms), strict=True)),
            energy_j=energy_j,
            extrapolated=work.extrapolated,
            work=work,
        )

    def errors(self, bands: Floats, link: LinkState | None, terms: Floats) -> Floats:
        """How far off nine of ten requests are, as a share. ``bands``: by the plans' methods."""
        if link is None or link.source == "table":
            return bands
        found: Floats = np.hypot(bands, MOVED * terms[2:].sum(axis=0) / terms.sum(axis=0))
        return found

    def energies(self, latency_s: Floats, busy_s: Floats) -> Floats | None:
        """Joules of all boards by plan: each idles throughout; those that take part are busy for a
        while. None when a power was not measured."""
        idle_w = [board.idle_w for board in self.boards]
        watts = list(zip(self.busy_w, idle_w, strict=True))[: len(busy_s)]
        if any(idle is None for idle in idle_w) or any(busy is None for busy, _ in watts):
            return None
        joules: Floats = sum(w for w in idle_w if w is not None) * latency_s
        for seconds, (busy, idle) in zip(busy_s, watts, strict=True):
            joules = joules + ((busy or 0.0) - (idle or 0.0)) * seconds
        return joules

    def _with(self, ranks: Sequence[int]) -> Costs:
        return replace(
            self,
            boards=tuple(self.boards[rank] for rank in ranks),
            cells=tuple(self.cells[rank] for rank in ranks),
            busy_w=tuple(self.busy_w[rank] for rank in ranks),
            stagings=tuple(self.stagings[rank] for rank in ranks),
        )


def costs_of(profile: Profile, model: str, dtype: str | None = None) -> Costs:
    """The costs of ``model``; ranks are the profile's boards in order.

    ``dtype``: of the computation; may be left out when only one was measured. Raises ``TableError``
    when the model, or the dtype, was not profiled.
    """
    entry = next((entry for entry in profile.models if entry.name == model), None)
    if entry is None:
        known = ", ".join(entry.name for entry in profile.models) or "none"
        raise TableError(f"model {model!r} was not profiled (profiled: {known})")
    rows = [row for row in profile.compute if row.model == model]
    dtypes = sorted({row.dtype for row in rows})
    if (dtype is None and len(dtypes) > 1) or (dtype is not None and dtype not in dtypes):
        raise TableError(f"model {model!r}: name one compute dtype of {', '.join(dtypes)}")
    rows = [row for row in rows if dtype in (None, row.dtype)]
    by_board = [[row for row in rows if row.board == board.name] for board in profile.boards]
    powers = [
        [row.energy_j / row.latency_s for row in found if row.energy_j is not None]
        for found in by_board
    ]
    bare = Costs(
        model=model,
        shape=entry.shape,
        boards=profile.boards,
        cells=tuple(Cells(entry.shape, found) for found in by_board),
        busy_w=tuple(median(found) if found else None for found in powers),
        links=fit_links(profile.link),
        stagings=tuple(Staging(profile.staging, board.name) for board in profile.boards),
        drops=worst_drops(profile.accuracy, model),
    )
    truths = _truths(bare, profile)
    overheads = fit_overheads(truths)
    return replace(bare, overheads=overheads, bands=fit_bands(truths, overheads))


def predict(
    costs: Costs,
    plan: Plan,
    batch: int,
    tokens: int,
    link: LinkState | None,
    paces: Sequence[float] | None = None,
) -> Prediction | Unpredictable:
    """What ``plan`` takes over ``link``; ``paces``: by rank, how many times its measured computing
    a board takes now, 1 when left out."""
    work = costs.work(plan, batch, tokens)
    if isinstance(work, str):
        return Unpredictable(plan=plan, reason=work)
    if link is None and plan.p > 1:
        return Unpredictable(plan=plan, reason="not profiled: the link")
    panel, paces = costs.panel([work]), paces or (1.0,) * len(costs.cells)
    terms = panel.terms(link, paces)
    joules = costs.energies(terms.sum(axis=0), panel.busy(paces))
    energy_j = None if joules is None else float(joules[0])
    return costs.prediction(plan, work, link, terms[:, 0], energy_j)


def _truths(costs: Costs, profile: Profile) -> list[Truth]:
    """The profile's whole requests beside what is predicted of them without overheads."""
    found: list[Truth] = []
    known: dict[tuple[str, int, int], Prediction | Unpredictable] = {}
    for row in profile.request:
        if row.model != costs.model:
            continue
        key = row.plan, row.batch, row.tokens
        if key not in known:
            known[key] = predict(costs, Plan.parse(row.plan), row.batch, row.tokens, costs.link)
        said = known[key]
        if isinstance(said, Prediction):
            found.append(
                Truth(
                    method=said.plan.method,
                    predicted_s=said.latency_s,
                    measured_s=row.latency_s,
                    exchanges=said.work.exchanges,
                    exchanged_bytes=said.work.exchanged_bytes,
                    cell=list(known).index(key),
                )
            )
    return found
