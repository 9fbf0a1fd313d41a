"""Weights trained through the operator: a plan is drawn at every step, and its ranks are simulated.

Everything that is drawn follows from the seed and the number of the step or epoch. So a state is
weights, codes, optimiser and step, and a run that goes on from one is the run that never stopped,
bit for bit on one thread of a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prism_edge.accuracy.code_training import CodeTraining, Looks, Pass, Usage
from prism_edge.accuracy.losses import Goal, to_exact, to_labels
from prism_edge.accuracy.plan_family import PlanFamily, in_turn
from prism_edge.accuracy.pools import Pool, epoch
from prism_edge.errors import ModelError
from prism_edge.families.model import Model, Tensors
from prism_edge.plan import LOCAL, Plan
from prism_edge.simulate import Lost, simulate

WARM_UP = 0.1  # of the steps, in which the rate grows to its peak; then it falls as a cosine
DECAY = 0.01
MAX_NORM = 1.0  # of a step's gradients together
BETA = 5e-4  # the largest that ASTRA's authors used
NOISE = 0.3
# vectors of words, which stay as they are where the exact model is the aim: without them MiniLM
# came as near to it (1 - cosine 0.0222 in the last 20 of 60 steps, with them 0.0224) in 0.59 s of
# CPU a step, not 0.89
TABLES = ("word_embeddings.weight", "wte.weight")
STEP, JUDGE = 2, 3  # streams of random numbers; those of the data precede

State = dict[str, Any]
Tell = Callable[[str, float, float, float], None]  # the last: how much was done before this run


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """``rate``: the peak learning rate. ``lost``: the share of messages that do not arrive.
    ``every``: so many steps are between two looks at the held samples. ``patience``: looks without
    a better one before it is over. ``beta``, ``noise``: weight of the commitment loss, and size of
    the noise on vectors of codes, in what codes miss. ``rows``: of a block, that codes are fitted
    to at the start. ``bf16``: matrices are multiplied in bf16, weights and losses stay fp32."""

    goal: Goal = "exact"
    steps: int
    batch: int = 16
    rate: float = 5e-5
    lost: float = 0.02
    every: int = 100
    patience: int = 5
    seed: int = 0
    beta: float = BETA
    noise: float = NOISE
    rows: int = 20_000
    bf16: bool = False


class Finetune:
    """A training that can be stopped after any step. ``model``: of the leaves as they are now;
    ``before``, ``best``: loss of the held samples at the start and at ``best_step``;
    ``usage_before``, ``usage``: what codes made of held samples' rows then, without sizes
    that no held sample travelled with."""

    def __init__(
        self,
        model: Callable[[], Model],
        leaves: Mapping[str, Tensor],
        exact: Model,
        family: PlanFamily,
        train: Sequence[Pool],
        held: Sequence[Pool],
        recipe: Recipe,
    ) -> None:
        self._model, self._leaves, self._exact, self._recipe = model, leaves, exact, recipe
        self._train = train
        # the plans that samples as long as these can be answered by
        lengths = {id(pool): self._tokens(pool) for pool in (*train, *held)}
        longest = max(lengths.values())
        for plan in family.plans:
            PlanFamily(((plan,),)).fitting(exact.shape, longest)
        self._families = {
            key: family.fitting(exact.shape, tokens) for key, tokens in lengths.items()
        }
        batches = [(pool, start) for pool in held for start in range(0, len(pool), recipe.batch)]
        turns = in_turn([self._families[id(pool)] for pool, _ in batches])
        self._looks = [(*batches[place], part) for place, part in turns]
        for name in leaves:
            if recipe.goal == "exact" and name.endswith(TABLES):
                leaves[name].requires_grad_(False)
        self._trained = [leaf for leaf in leaves.values() if leaf.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [leaf for leaf in self._trained if leaf.dim() > 1]},
            {"params": [leaf for leaf in self._trained if leaf.dim() == 1], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=DECAY)
        self.codes = CodeTraining(exact, family, recipe.noise, recipe.beta)
        self._batches = sum(-(-len(pool) // recipe.batch) for pool in train)  # of an epoch
        self._order: tuple[int, list[tuple[int, list[int]]]] = (-1, [])
        self.step, self.stale = 0, 0
        self.best_step, self.best, self.before = 0, math.inf, math.inf
        self.usage_before: Usage = {}
        self.usage: Usage = {}

    def state(self) -> State:
        """All that another process needs to go on."""
        return {
            "leaves": {name: leaf.detach() for name, leaf in self._leaves.items()},
            "optimiser": self._optimiser.state_dict(),
            "training": self.codes.state(),
            **{name: getattr(self, name) for name in COUNTED},
        }

    def restore(self, state: State) -> None:
        """This is where the run was whose state it is."""
        with torch.no_grad():
            for name, leaf in self._leaves.items():
                leaf.copy_(state["leaves"][name])
        self._optimiser.load_state_dict(state["optimiser"])
        self.codes.restore(state["training"])
        for name in COUNTED:
            setattr(self, name, state[name])

    def run(self, tell: Tell, keep: Callable[[bool], None], stop: Callable[[], bool]) -> bool:
        """True when it is over, False when ``stop`` ended it. ``keep``, after every look, hears
        whether the weights are the best so far; what it keeps is this run's to go on from.

        Raises ``ModelError`` when the loss is no number any more.
        """
        recipe, already = self._recipe, self.step
        if math.isinf(self.best):
            self.codes.begin(
                self._first(),
                recipe.rows,
                recipe.seed,
                lambda text, *_: tell(text, 0, recipe.steps, 0),
            )
            tell("held samples, before", 0, recipe.steps, 0)
            self.before = self.best = self.judged()
            self.usage_before = self.usage = self.codes.judged
            keep(True)
        while self.step < recipe.steps and self.stale < recipe.patience:
            if stop():
                keep(False)
                return False
            loss = self._one_step()
            self.step += 1
            tell(
                f"step {self.step}: loss {loss:.4f}; held samples {self.before:.4f} before, "
                f"{self.best:.4f} at best",
                self.step,
                recipe.steps,
                already,
            )
            if self.step % recipe.every == 0 or self.step == recipe.steps:
                held = self.judged()
                better = held < self.best
                self.stale = 0 if better else self.stale + 1
                if better:
                    self.best, self.best_step, self.usage = held, self.step, self.codes.judged
                keep(better)
        return True

    @torch.no_grad()
    def judged(self) -> float:
        """The loss of the held samples, of a plan for each batch that is always the same one. The
        family's parts take turns, so that none goes unjudged."""
        model, total, count = self._model(), 0.0, 0
        looks: Looks = {}
        for number, (pool, start, turn) in enumerate(self._looks):
            part = pool.rows(np.arange(start, min(start + self._recipe.batch, len(pool))))
            plan = turn.draw(np.random.default_rng([self._recipe.seed, JUDGE, number]))
            heard = self.codes.judging(plan)
            total += float(self._loss(model, part, plan, None, heard)) * len(part)
            if heard is not None:
                self.codes.count(looks, heard)
            count += len(part)
        self.codes.looked(looks)
        return total / count

    def _one_step(self) -> float:
        number, within = divmod(self.step, self._batches)
        if self._order[0] != number:
            self._order = number, epoch(self._train, self._recipe.batch, self._recipe.seed, number)
        place, rows = self._order[1][within]
        pool = self._train[place]
        source = np.random.default_rng([self._recipe.seed, STEP, self.step])
        plan = self._families[id(pool)].draw(source)
        share = self._recipe.lost
        lost: Lost | None = (lambda *_: bool(source.random() < share)) if share else None
        for group in self._optimiser.param_groups:
            group["lr"] = self._recipe.rate * pace(self.step, self._recipe.steps)
        heard = self.codes.training(plan, source)
        self._optimiser.zero_grad()
        loss = self._loss(self._model(), pool.rows(rows), plan, lost, heard)
        if heard is not None:
            loss = loss + self.codes.loss(heard)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._trained, MAX_NORM)
        if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
            raise ModelError(
                f"step {self.step + 1}, plan {plan}: loss {loss.item()}, gradient {norm.item()}; "
                f"train with a lower --rate than {self._recipe.rate:g}"
            )
        self._optimiser.step()
        if heard is not None:
            self.codes.follow(heard)
        return loss.item()

    def _loss(
        self, model: Model, part: Pool, plan: Plan, lost: Lost | None, heard: Pass | None
    ) -> Tensor:
        prepared, make = self._exact.prepare(part.inputs), None if heard is None else heard.make
        with self._products():
            found = in_fp32(simulate(model, plan, prepared, lost, make))
        if self._recipe.goal == "labels":
            ids = part.inputs["input_ids"].long() if model.shape.causal else None
            return to_labels(found, part.labels, ids)
        with torch.no_grad(), self._products():
            meant = in_fp32(simulate(self._exact, LOCAL, prepared))
        return to_exact(found, meant, self._exact.real(prepared))

    @contextmanager
    def _products(self) -> Iterator[None]:
        """Here matrices are multiplied in bf16 if the recipe says so."""
        if not self._recipe.bf16:
            yield
            return
        kind = self._exact.device.type
        with torch.autocast(kind, torch.bfloat16), ExitStack() as kernel:
            if kind == "cpu":
                # its fused attention in bf16 takes 22.6 ms backwards, the plain one 6.0 (torch
                # 2.13, one x86 core with AVX512-BF16, 16 samples of 48 rows over 60 columns)
                from torch.nn.attention import SDPBackend, sdpa_kernel

                kernel.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield

    def _first(self) -> list[Tensors]:
        """As many samples of the first epoch as have the rows that codes start from."""
        found, tokens = [], 0
        for place, rows in epoch(self._train, self._recipe.batch, self._recipe.seed, 0):
            if tokens < self._recipe.rows:
                found.append(self._exact.prepare(self._train[place].rows(rows).inputs))
                tokens += len(rows) * self._exact.tokens(found[-1])
        return found

    def _tokens(self, pool: Pool) -> int:
        return self._exact.tokens(self._exact.prepare(pool.rows([0]).inputs))


COUNTED = ("step", "stale", "best_step", "best", "before", "usage_before", "usage")


def in_fp32(outputs: Tensors) -> Tensors:
    return {name: found.float() for name, found in outputs.items()}


def pace(step: int, steps: int) -> float:
    """The share of the peak rate at a step."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
