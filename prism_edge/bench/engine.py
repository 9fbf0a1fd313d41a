"""One benchmark: models on a cluster in, rows and conditions out, also if it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product

from prism_edge.bench.cases import Wanted, needs_of, require_fits, syncs
from prism_edge.bench.compare import Cell, PlanFacts, Row, rows_of
from prism_edge.bench.conditions import hour, place_of, weights_of
from prism_edge.bench.reference import Reference, start_reference
from prism_edge.bench.rounds import Group, inputs, measure_cell, tasks_of
from prism_edge.errors import PlanError
from prism_edge.plan import Plan
from prism_edge.profile.engines import start_engines
from prism_edge.profile.place import Place, find_place
from prism_edge.settings import Settings
from prism_edge.traffic import wire_bytes

TIMEOUT_S = 600.0  # longest silence inside an exchange: 20 MB at 1 Mbit/s take 160 s

Tell = Callable[[str, float], None]  # what has been timed, and its share of everything


@dataclass(slots=True)
class Found:
    """What has been measured so far, and under which conditions."""

    rows: list[Row] = field(default_factory=list)
    conditions: dict[str, object] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def bench(settings: Settings, wanted: Wanted, found: Found, tell: Tell) -> None:
    """Every model at every size; ``found`` grows by one (model, tokens, batch) at a time.

    Ctrl-C, or a board that is lost half-way, is raised again and leaves in ``found`` what was
    finished.
    """
    place = find_place(settings)
    # computing grows with weights, tokens and batch; the tokens are much the same for all
    sizes = {
        model.name: sum(path.stat().st_size for path in model.path.glob("*")) or 1
        for model in wanted.models
    }
    with _conditions(settings, wanted, place, found):
        for model in wanted.models:
            tell(f"{model.name}: loading", 0.0)
            with (
                start_reference(place.hosts[0], model.path) as reference,
                start_engines(
                    place.hosts, [model], timeout_s=TIMEOUT_S, pace_file=place.pace_file
                ) as engines,
            ):
                found.conditions["torch"] = engines.fact(0, "torch")
                found.conditions["transformers"] = reference.version
                group, loaded = Group(engines), engines.models[0]
                lengths = wanted.lengths(model.name, loaded.shape)
                for tokens, batch in product(lengths, wanted.batches):
                    cell = Cell(
                        model=model.name,
                        work="prefill" if loaded.generates else "forward",
                        batch=batch,
                        tokens=tokens,
                        rate=place.rate,
                        boards=len(place.hosts),
                    )
                    part = batch / sum(wanted.batches) / len(lengths)
                    part *= sizes[model.name] / sum(sizes.values())
                    for text, share in _bench_cell(group, reference, cell, wanted, found):
                        tell(text, part * share)


def _bench_cell(
    group: Group, reference: Reference, cell: Cell, wanted: Wanted, found: Found
) -> Iterator[tuple[str, float]]:
    """What is timed, and its share of the cell; in the end ``found`` has the cell's rows.

    Plans that do not fit are skipped with a reason.
    """
    model = group.engines.models[0]
    facts: dict[Plan, PlanFacts] = {}
    for plan in wanted.plans_for(model.shape, cell.boards):
        try:
            facts[plan] = facts_about(group, cell, plan)
        except PlanError as error:
            found.skipped.append(f"{cell.model}, batch {cell.batch}: {error}")
    given = inputs(model, 1, cell.tokens, wanted.seed)[1]
    kernel = reference.ask("kernel", given).fields["attention_kernel"]
    samples = []
    count = len(tasks_of(tuple(facts), floats=model.shape.fixed_tokens)) * (wanted.repeats + 1)
    for sample in measure_cell(
        group, reference, cell, tuple(facts), rounds=wanted.repeats, seed=wanted.seed
    ):
        samples += [sample] if sample.turn >= 0 else []
        text = f"{cell.model} batch {cell.batch}, {sample.task}: {sample.seconds * 1e3:.1f} ms"
        yield text, 1 / count
    found.rows += rows_of(cell, samples, facts, kernel, wanted.seed)


def facts_about(group: Group, cell: Cell, plan: Plan) -> PlanFacts:
    """What a plan costs besides time. Raises ``PlanError`` when it does not fit the cell."""
    shape = group.engines.models[0].shape
    require_fits(plan, shape, cell)
    group.be(joined=False)
    kernels = {
        group.engines.ask(
            rank, "kernel", model=cell.model, plan=str(part), rank=rank, batch=1, tokens=cell.tokens
        ).fields["attention_kernel"]
        for rank in range(plan.p)
        for part, _ in plan.parts(cell.batch)
        if part.exchanges or rank == 0
    }
    memory = group.engines.ask(0, "memory", reset=False)
    return PlanFacts(
        wire_bytes=wire_bytes(plan, shape, cell.batch, cell.tokens, needs_of(cell)),
        syncs=syncs(plan, shape, cell),
        weights_bytes=memory.fields["weights_bytes"],
        attention_kernel="+".join(sorted(kernels)),
    )


@contextmanager
def _conditions(settings: Settings, wanted: Wanted, place: Place, found: Found) -> Iterator[None]:
    """``found`` knows the conditions, those of the hour as they were while this was entered."""
    found.conditions |= {
        **place_of(settings, place),
        "inputs": (
            "images: uint8 pixels; Hugging Face and the local answer compared with it: the same "
            "normalised floats; texts: ids without padding or mask"
        ),
        "latency": (
            "in the leader's engine, from the decoded request to its outputs; prefill: to the "
            "first word of each answer, with a cache to go on with, Hugging Face likewise"
        ),
        "models": weights_of(wanted.models, wanted.random),
        "repeats": wanted.repeats,
        "seed": wanted.seed,
        "skipped": found.skipped,
    }
    with hour(found.conditions):
        yield
