"""Which cells to measure for given models, boards and wishes. Pure.

A cell is what one board computes in one request: own tokens n, known tokens M, batch B. Plans that
give a board the same (n, M, B) share the cell; the dtype on the wire does not change it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from prism_edge.errors import PlanError, SettingsError
from prism_edge.layout import Layout, ModelShape, batch_shares, token_layout
from prism_edge.plan import LOCAL, Plan

KIB = 1024
MOST_RANKS = 8  # of a plan; a larger cluster has more boards to choose them from
MACS_PER_S = 50e9  # one core of a desktop; only the first guess of the time left rests on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user wants measured. ``tokens``: lengths of texts; empty: usual ones."""

    batches: tuple[int, ...] = (1, 2, 4, 8)
    ls: tuple[int, ...] = (1, 10, 20)
    tokens: tuple[int, ...] = ()
    quick: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values, low in (
            ("batches", self.batches, 1),
            ("l", self.ls, 1),
            ("tokens", self.tokens, 2),
        ):
            if any(value < low for value in values):
                raise SettingsError(f"--{name} {values}: allowed are {low} and more")
        if not self.batches:
            raise SettingsError("--batches: at least one is needed")
        # what is said twice is one plan, measured once
        object.__setattr__(self, "ls", tuple(dict.fromkeys(self.ls)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measurement on one board; ``weight_s`` is a first guess of what all its passes take."""

    model: str
    plan: Plan
    rank: int
    batch: int
    tokens: int
    own: int
    known: int
    repeats: int
    weight_s: float

    @property
    def key(self) -> tuple[str, int, int, int]:
        return self.model, self.batch, self.own, self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to be answered end to end, as often as the sweep says."""

    model: str
    plan: Plan
    batch: int
    tokens: int
    weight_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Everything to measure. ``cells``: by board. ``warm_s``: for warming up a single one, at most.
    ``payload_repeats``: in each of their rounds.
    ``loaded_step``: of so many payloads one is exchanged while the boards compute, too.
    ``skipped``: plans that fit no model, and why."""

    cells: tuple[tuple[Cell, ...], ...]
    payloads: tuple[int, ...]
    requests: tuple[Request, ...]
    rounds: int
    warm_s: float
    payload_rounds: int
    payload_repeats: int
    loaded_step: int
    request_rounds: int
    seed: int
    skipped: tuple[str, ...]

    @property
    def weight_s(self) -> float:
        """First guess of the seconds that computing and answering take; boards compute at once."""
        compute = max(sum(cell.weight_s for cell in cells) for cells in self.cells)
        return compute * (self.rounds + 1) + self.requests_weight_s  # the first one warms up

    @property
    def requests_weight_s(self) -> float:
        return sum(request.weight_s for request in self.requests) * (self.request_rounds + 1)


def candidates(boards: int, ls: Sequence[int]) -> list[Plan]:
    """Every plan, wire dtypes apart: local, then split, prism and voltage over 2 to all boards,
    8 at most."""
    plans = [LOCAL]
    for p in range(2, min(boards, MOST_RANKS) + 1):
        plans.append(Plan(method="split", p=p))
        plans += [Plan(method="prism", p=p, l=l, dtype="fp16") for l in ls]  # noqa: E741
        plans.append(Plan(method="voltage", p=p, dtype="fp32"))
    return plans


def lengths(shape: ModelShape, wish: Wish) -> tuple[int, ...]:
    """Token counts worth measuring: the only one of an image model, a few of a text model."""
    if shape.fixed_tokens:
        return (shape.tokens,)
    longest = min(shape.tokens, 512)
    wanted = wish.tokens or ((128, longest) if wish.quick else (32, 128, longest))
    fitting = tuple(sorted({tokens for tokens in wanted if tokens <= shape.tokens}))
    if not fitting:
        raise SettingsError(f"--tokens {wanted}: the model has {shape.tokens} positions")
    return fitting


def plan_sweep(models: Mapping[str, ModelShape], boards: int, wish: Wish) -> Sweep:
    """What to measure so that every candidate plan on ``boards`` boards can be predicted."""
    cells: list[dict[tuple[str, int, int, int], Cell]] = [{} for _ in range(boards)]
    requests: list[Request] = []
    skipped: list[str] = []
    told = _request_batches(wish)
    for model, shape in models.items():
        for tokens in lengths(shape, wish):
            for plan in candidates(boards, wish.ls):
                for batch in sorted(set(wish.batches)):
                    if plan.method == "split" and batch < plan.p:
                        continue  # some boards would have nothing to do
                    try:
                        layout = token_layout(plan, shape, tokens)
                    except PlanError as error:
                        skipped.append(f"{model}: {error}")
                        continue
                    for board, cell in _played(model, layout, batch, boards, wish.quick):
                        cells[board].setdefault(cell.key, cell)
                    if batch in told and plan.p in (1, min(boards, MOST_RANKS)):
                        weight_s = _weight_s(layout, 0, _share(plan, 0, batch))
                        requests += [
                            Request(
                                model=model,
                                plan=wire,
                                batch=batch,
                                tokens=tokens,
                                weight_s=weight_s,
                            )
                            for wire in _on_the_wire(plan, wish.quick)
                        ]
    return Sweep(
        cells=tuple(tuple(found.values()) for found in cells),
        payloads=tuple(
            4 * KIB * (4 if wish.quick else 2) ** k for k in range(5 if wish.quick else 9)
        ),
        requests=tuple(requests),
        rounds=3 if wish.quick else 4,
        warm_s=2.0 if wish.quick else 8.0,
        payload_rounds=3,
        payload_repeats=2 if wish.quick else 7,
        loaded_step=2,
        request_rounds=3 if wish.quick else 5,
        seed=wish.seed,
        skipped=tuple(dict.fromkeys(skipped)),
    )


def shuffled(items: Iterable[Cell], seed: str) -> list[Cell]:
    """The cells in an order that has nothing to do with their size, so that drift is no trend."""
    order = list(items)
    random.Random(seed).shuffle(order)
    return order


def _played(
    model: str, layout: Layout, batch: int, boards: int, quick: bool
) -> Iterable[tuple[int, Cell]]:
    """(board, cell) of all parts. The leader is always rank 0; any worker may be any other."""
    plan = layout.plan
    for rank in range(plan.p):
        own = rank if plan.exchanges else 0  # under split every rank owns all tokens
        share = _share(plan, rank, batch)
        once_s = _weight_s(layout, own, share)
        least, most, wanted_s = (1, 3, 0.6) if quick else (2, 10, 2.0)
        repeats = max(least, min(most, int(wanted_s / once_s)))
        cell = Cell(
            model=model,
            plan=plan if plan.exchanges else LOCAL,
            rank=own,
            batch=share,
            tokens=layout.tokens,
            own=layout.own[own],
            known=layout.known(own),
            repeats=repeats,
            weight_s=once_s * (repeats + 1),
        )
        for board in (0,) if rank == 0 else range(1, boards):
            yield board, cell


def _share(plan: Plan, rank: int, batch: int) -> int:
    return batch_shares(plan, batch)[rank] if plan.method == "split" else batch


def _weight_s(layout: Layout, rank: int, batch: int) -> float:
    return batch * layout.shape.blocks * layout.macs(rank) / MACS_PER_S


def _on_the_wire(plan: Plan, quick: bool) -> list[Plan]:
    """The plan with each dtype worth telling apart end to end."""
    if not plan.exchanges or quick:
        return [plan]
    return [replace(plan, dtype=dtype) for dtype in ("fp32", "fp16")]


def _request_batches(wish: Wish) -> tuple[int, ...]:
    """Batches answered end to end: the smallest, and the largest up to four."""
    up_to_four = [batch for batch in wish.batches if batch <= 4] or [min(wish.batches)]
    return tuple(sorted({min(wish.batches), max(up_to_four)}))
