"""What a benchmark is asked to measure, and what that means for a given model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prism_edge.bench.compare import Cell
from prism_edge.bench.random_models import SIZES
from prism_edge.errors import PlanError, SettingsError
from prism_edge.layout import ModelShape, Needs, batch_shares, check_fits, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.settings import ModelSettings, parse_model

TEXT_TOKENS = 128
# l of the usual prism plan; models that only look back are given longer texts
SEGMENTS = {False: 10, True: 32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to measure. ``tokens``: lengths of texts, ``plans``: besides local; empty: usual ones.

    ``random``: names of the models whose weights are.
    """

    models: tuple[ModelSettings, ...]
    random: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1, 4, 8)
    tokens: tuple[int, ...] = ()
    plans: tuple[Plan, ...] = ()
    repeats: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values in (
            ("batches", self.batches),
            ("tokens", self.tokens),
            ("repeats", (self.repeats,)),
        ):
            if any(value < 1 for value in values):
                raise SettingsError(f"--{name} {min(values)}: allowed is 1 or more")
        if not self.models or not self.batches:
            raise SettingsError("--models and --batches: at least one of each is needed")

    def lengths(self, model: str, shape: ModelShape) -> tuple[int, ...]:
        """Token counts to measure ``model`` at. Raises ``SettingsError`` beyond its positions."""
        if shape.fixed_tokens:
            return (shape.tokens,)
        size = SIZES[model] if model in self.random else None
        usual = (size and size.tokens) or min(TEXT_TOKENS, shape.tokens)
        lengths = tuple(dict.fromkeys(self.tokens or (usual,)))
        if max(lengths) > shape.tokens:
            raise SettingsError(
                f"--tokens {max(lengths)}: model {model} has {shape.tokens} positions"
            )
        return lengths

    def plans_for(self, shape: ModelShape, boards: int) -> tuple[Plan, ...]:
        """Local, and the plans asked for or one of each method over all boards."""
        return tuple(dict.fromkeys((LOCAL, *(self.plans or usual_plans(shape, boards)))))


def find_models(
    names: Sequence[str], listed: Sequence[ModelSettings], cache: Path
) -> tuple[tuple[ModelSettings, ...], tuple[str, ...]]:
    """The models meant: listed ones, NAME=DIR, or sizes to be made in ``cache``, whose names come
    second. Raises ``SettingsError`` for any other name, or one that stands for two."""
    known = {model.name: model for model in listed}
    found: list[ModelSettings] = []
    for name in names:
        if "=" in name:
            found.append(parse_model(name, tuple(listed)))
        elif name in known:
            found.append(known[name])
        elif name in SIZES:
            found.append(ModelSettings(name=name, path=cache / name))
        else:
            there = ", ".join([*known, *SIZES])
            raise SettingsError(f"--models {name!r}: expected NAME=DIR or one of {there}")
    called = [model.name for model in found]
    twice = [name for name in called if called.count(name) > 1]
    if twice:
        raise SettingsError(f"--models: {twice[0]} is given twice")
    made = tuple(name for name in names if name in SIZES and name not in known)
    return tuple(found), made


def usual_plans(shape: ModelShape, boards: int) -> Sequence[Plan]:
    """One plan of each method that needs no codebooks."""
    if boards == 1:
        return ()
    return (
        Plan(method="split", p=boards),
        Plan(method="prism", p=boards, l=SEGMENTS[shape.causal], dtype="fp16"),
        Plan(method="voltage", p=boards, dtype="fp32"),
    )


def require_fits(plan: Plan, shape: ModelShape, cell: Cell) -> None:
    """The plan can be measured, and every board has something to do. Raises ``PlanError``."""
    check_fits(plan, shape, cell.batch, cell.tokens, cell.boards)
    if 0 in batch_shares(plan, cell.batch):
        raise PlanError(f"plan {plan}: a batch of {cell.batch} leaves boards without work")
    if cell.work == "prefill" and any(part.method == "split" for part, _ in plan.parts(cell.batch)):
        raise PlanError(f"plan {plan}: the leader goes on with every text, so none is given away")


def needs_of(cell: Cell) -> Needs | None:
    """Rows of the last block that are asked for; None: those the model's head reads."""
    return "last" if cell.work == "prefill" else None


def syncs(plan: Plan, shape: ModelShape, cell: Cell) -> int:
    """Exchanges of one request that happen one after the other: blocks that wait for messages."""
    needs, parts = needs_of(cell), plan.parts(cell.batch)
    layouts = [token_layout(part, shape, cell.tokens, needs) for part, _ in parts]
    blocks = range(shape.blocks)
    return sum(1 for layout in layouts for block in blocks if layout.messages(block))
