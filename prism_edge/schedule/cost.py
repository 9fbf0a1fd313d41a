"""What a plan would take, from tables and the link: ``T = max C + exposed exchanges + in + out``.

``docs/policy.md`` derives the terms. What does not depend on the link is computed once per (plan,
batch, tokens) and kept, so that deciding costs microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from prism_edge.errors import TableError
from prism_edge.layout import ModelShape, even
from prism_edge.plan import Plan
from prism_edge.schedule.cells import Cells
from prism_edge.schedule.link import Links, LinkState, fit_links
from prism_edge.schedule.work import Work, work_of
from prism_edge.tables import BoardInfo, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpredictable:
    """A plan about which the tables say nothing, and why."""

    plan: Plan
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Seconds of one batch under ``plan``; ``terms`` add up to ``latency_s``.

    ``low_s`` to ``high_s``: eight of ten requests, from the spread of repeats and the error of the
    link's fit. ``energy_j``: all boards, idle ones too; None when power was not measured.
    ``work``: the bytes behind the terms.
    """

    plan: Plan
    latency_s: float
    low_s: float
    high_s: float
    terms: Mapping[str, float]
    energy_j: float | None
    work: Work


@dataclass(frozen=True, kw_only=True, eq=False)
class Costs:
    """One model's tables on boards in the order of their ranks. Made by ``costs_of``.

    ``busy_w``: each board's mean power while it computes, None when not measured.
    """

    model: str
    shape: ModelShape
    boards: tuple[BoardInfo, ...]
    cells: tuple[Cells, ...]
    busy_w: tuple[float | None, ...]
    links: Links | None
    _works: dict[tuple[Plan, int, int], Work | str] = field(default_factory=dict, repr=False)

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
        ranks = [order.index(name) for name in boards]
        return replace(
            self,
            boards=tuple(self.boards[rank] for rank in ranks),
            cells=tuple(self.cells[rank] for rank in ranks),
            busy_w=tuple(self.busy_w[rank] for rank in ranks),
            _works={},
        )

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
        key = (plan, batch, tokens)
        work = self._works.get(key)
        if work is None:
            half_duplex = self.links is not None and self.links.half_duplex
            work = work_of(plan, self.shape, batch, tokens, self.cells, half_duplex)
            self._works[key] = work
        return work


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
    by_board = [[row for row in rows if row.board == board.name] for board in profile.boards]
    powers = [
        [row.energy_j / row.latency_s for row in found if row.energy_j is not None]
        for found in by_board
    ]
    return Costs(
        model=model,
        shape=entry.shape,
        boards=profile.boards,
        cells=tuple(Cells(entry.shape, found) for found in by_board),
        busy_w=tuple(median(found) if found else None for found in powers),
        links=fit_links(profile.link),
    )


def predict(
    costs: Costs,
    plan: Plan,
    batch: int,
    tokens: int,
    link: LinkState | None,
    correction: float = 1.0,
) -> Prediction | Unpredictable:
    """What ``plan`` takes over ``link``; ``correction`` multiplies the measured computing."""
    work = costs.work(plan, batch, tokens)
    if isinstance(work, str):
        return Unpredictable(plan=plan, reason=work)
    slowest = max(work.computes, key=lambda spread: spread.mid_s)
    compute_s = slowest.mid_s * correction
    terms = {"compute_s": compute_s}
    moving_s = error = 0.0
    if plan.p > 1:
        if link is None or costs.links is None:
            return Unpredictable(plan=plan, reason="not profiled: the link")
        oneway = LinkState(
            alpha_s=costs.links.oneway.alpha_s,
            bandwidth_bps=link.bandwidth_bps,
            source=link.source,
        )
        if plan.method == "split":
            terms |= _split_terms(work, oneway, compute_s, correction)
        else:
            terms |= _exchange_terms(work, link, oneway, correction)
        moving_s = sum(terms.values()) - compute_s
        error = costs.links.exchange.error
    latency_s = compute_s + moving_s
    return Prediction(
        plan=plan,
        latency_s=latency_s,
        low_s=slowest.low_s * correction + moving_s * (1 - min(error, 1.0)),
        high_s=slowest.high_s * correction + moving_s * (1 + error),
        terms=terms,
        energy_j=_energy_j(costs, work, latency_s, correction),
        work=work,
    )


def _exchange_terms(
    work: Work, link: LinkState, oneway: LinkState, correction: float
) -> dict[str, float]:
    exposed_s = 0.0
    for wave in work.waves:
        tau_s = link.exchange_s(wave.competing_bytes) - (0.0 if wave.latency else link.alpha_s)
        exposed_s += wave.count * max(0.0, tau_s - wave.hidden_s * correction)
    return {
        "exchange_s": exposed_s,
        "input_s": sum(oneway.exchange_s(size) for size in work.inputs[1:]),
        "output_s": sum(oneway.exchange_s(size) for size in work.outputs if size),
    }


def _split_terms(
    work: Work, oneway: LinkState, compute_s: float, correction: float
) -> dict[str, float]:
    """Shares leave one after another while the leader computes; answers are taken in rank order."""
    sent_s, output_s = 0.0, 0.0
    done_s = work.computes[0].mid_s * correction
    for rank in range(1, len(work.inputs)):
        sent_s += oneway.exchange_s(work.inputs[rank])
        back_s = oneway.exchange_s(work.outputs[rank])
        done_s = max(done_s, sent_s + work.computes[rank].mid_s * correction) + back_s
        output_s += back_s
    input_s = max(0.0, done_s - compute_s - output_s)
    return {"input_s": input_s, "output_s": done_s - compute_s - input_s}


def _energy_j(costs: Costs, work: Work, latency_s: float, correction: float) -> float | None:
    """Joules of all boards: each idles throughout; those that take part are busy for a while."""
    total_j = 0.0
    for rank, board in enumerate(costs.boards):
        if board.idle_w is None:
            return None
        total_j += board.idle_w * latency_s
        if rank < len(work.computes):
            busy_w = costs.busy_w[rank]
            if busy_w is None:
                return None
            total_j += (busy_w - board.idle_w) * work.computes[rank].mid_s * correction
    return total_j
